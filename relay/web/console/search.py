"""Own the one search: whatever a person has of an order leads to its page, and an unknown transaction to what the chains say."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import inquirer_of, now
from relay.core.chain_addresses import family_of
from relay.core.hashes import parse_hash, show_hash
from relay.flows.explaining import look_up, machine_hash
from relay.store import events, lookup
from relay.store.engine import reading
from relay.store.namespaces import known_namespaces
from relay.web.auth import person
from relay.web.console.frame import PER_PAGE, READERS, framed, named, number_of
from relay.web.context import runtime
from relay.web.pages import path_of

routes = Blueprint("search", __name__)

REFRESH_S = 2


@routes.get("/console/search")
@person(*READERS)
def search() -> AnyResponse:
    """Go to the only order that is named so, else list those that are, else go where the text leads otherwise."""
    text, after = named(request.args, "q").get("q", ""), number_of(request.args.get("after", ""))
    if not text:
        return framed("search.html", "search", text="", found=None)
    with reading(runtime().engine) as connection:
        found = lookup.orders_named(
            connection,
            text,
            namespaces=known_namespaces(connection, runtime().sources),
            chains=runtime().settings.chains,
            after=after,
            limit=PER_PAGE,
        )
        place = None if found.rows or after else _elsewhere(connection, text)
    if len(found.rows) == 1 and after is None:
        (order, _) = found.rows[0]
        place = path_of(order["namespace"], order["orderid"])
    if place is not None:
        return redirect(place, code=303)
    return framed("search.html", "search", text=text, found=found, is_later=after is not None)


@routes.get("/console/transactions/<tx>")
@person(*READERS)
def transaction(tx: str) -> Response:
    """Explain a transaction that no order is known by; while the nodes are asked, the page comes again by itself."""
    tx_hash = machine_hash(tx)
    explained = look_up(inquirer_of(runtime(), None), tx_hash, now=now())
    shown = show_hash(tx_hash, family_of((explained and explained.chain) or ""))
    answer = framed("transaction.html", "search", tx=shown, explained=explained)
    if explained is None:
        answer.headers["Refresh"] = str(REFRESH_S)
    return answer


def _elsewhere(connection: Connection, text: str) -> str | None:
    """Return the page of what is no order's: an event of the house, or a transaction."""
    if events.find(connection, text) is not None:
        return f"/console/events/{quote(text, safe='')}"
    try:
        return f"/console/transactions/{parse_hash(text)}"
    except ValueError:
        return None
