"""Own the list of breaks, and the page on which one is worked on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import bench_of, desk_of, new_act_id, new_event_id, now
from relay.core.breaks import CLASSES
from relay.core.days import ONE
from relay.core.statement import AGES
from relay.core.unordered import PROPOSABLE
from relay.errors import NotFound
from relay.flows import asked_acts
from relay.flows import breaks as flow
from relay.flows.asked_acts import Till
from relay.flows.break_story import worded
from relay.store import audit, break_list, lookup, people
from relay.store.engine import reading
from relay.store.namespaces import known_namespaces
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import actor, runtime
from relay.web.finance.reading import STATES, filters_of
from relay.web.pages import changed

routes = Blueprint("breaks", __name__)

PER_PAGE = 50


@routes.get("/finance/breaks")
@person(*READERS)
def listed() -> Response:
    """List what the query asks for, a page at a time."""
    query = {name: value for name, value in request.args.items() if value}
    moment = now()
    filters = filters_of(query, desk_of(runtime()).calendar, moment)
    chains = runtime().settings.chains
    with reading(runtime().engine) as connection:
        namespaces = known_namespaces(connection, runtime().sources)
        if "q" in query:
            # Whoever looks for one thing wants it in whatever state it is.
            text = query["q"].strip()
            keys = lookup.orders_by(connection, text, namespaces=namespaces, chains=chains)
            filters = replace(filters, state="all", keys=keys, spots=lookup.spots_named(text))
        page = break_list.page(connection, filters, after=query.get("after"), limit=PER_PAGE)
        counts = break_list.counts(connection, filters)
        owners = [row["name"] for row in people.listed(connection) if row["revoked_at"] is None]
    return framed(
        "breaks.html",
        "breaks",
        query=query,
        states=STATES,
        ages=[name for name, _ in AGES],
        kinds=sorted(CLASSES),
        chains=sorted(chains),
        rows=[_shown(row) for row in page.rows],
        counts=counts,
        total=sum(one.count for one in counts),
        total_micros=sum(one.micros for one in counts),
        owners=owners,
        namespaces=sorted(namespaces),
        views=views(),
        next_query=changed(query, after=str(page.next)) if page.next else None,
        first_query=changed(query, after=None),
        now=moment,
    )


@routes.get("/finance/breaks/<id>")
@person(*READERS)
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show one break with everything that was done about it."""
    return _page(id)


@routes.post("/finance/breaks/<id>/assign")
@person("preparer")
def assign(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Give it to a person."""
    flow.assign(runtime().engine, id, request.form.get("owner", ""), actor=actor(), now=now())
    return redirect(f"/finance/breaks/{id}", code=303)


@routes.post("/finance/breaks/<id>/note")
@person("preparer")
def note(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Write down what was found."""
    flow.note(runtime().engine, id, request.form.get("note", ""), actor=actor(), now=now())
    return redirect(f"/finance/breaks/{id}", code=303)


@routes.post("/finance/breaks/<id>/resolve")
@person("preparer")
def resolve(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Close it with a reason."""
    flow.resolve(runtime().engine, id, request.form.get("reason", ""), actor=actor(), now=now(), new_id=new_event_id)
    return redirect(f"/finance/breaks/{id}", code=303)


@routes.post("/finance/breaks/<id>/accept")
@person("preparer")
def accept(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Close it though the difference stays."""
    flow.accept(runtime().engine, id, request.form.get("reason", ""), actor=actor(), now=now(), new_id=new_event_id)
    return redirect(f"/finance/breaks/{id}", code=303)


@routes.post("/finance/breaks/<id>/propose")
@person("preparer")
def propose(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Propose money that came without an order as the credit of its address's owner; another person does it."""
    moment, till = now(), Till(bench_of(runtime(), actor().id), runtime().intake)
    reason = request.form.get("reason", "")
    asked_acts.ask_credit(till, id, reason, actor=actor(), now=moment, act_id=new_act_id(moment))
    return redirect(f"/finance/breaks/{id}", code=303)


def views() -> list[tuple[str, str]]:
    """Return the saved views: what most days ask for, each a query of its own."""
    yesterday = desk_of(runtime()).calendar.day_at(now() - ONE).name
    return [
        ("To act today", "/finance/breaks?state=open"),
        ("Mine", f"/finance/breaks?state=open&owner={actor().name}"),
        ("Held money", "/finance/orders?state=held"),
        ("Recovered yesterday", f"/finance/recovered?from={yesterday}&to={yesterday}"),
        ("Resolved", "/finance/breaks?state=resolved"),
    ]


def _page(break_id: str) -> Response:
    with reading(runtime().engine) as connection:
        row = break_list.find(connection, break_id)
        if row is None:
            raise NotFound("no such break")
        acts = audit.page(connection, after=None, limit=100, subject=break_id).rows
        owners = [one["name"] for one in people.listed(connection) if one["revoked_at"] is None]
        asked = asked_acts.about(connection, row)
    shown = _shown(row)
    told = [{**act, "detail": json.loads(act["detail"])} for act in acts]
    return framed("break.html", "breaks", row=shown, acts=told, asked=asked, owners=owners, now=now())


def _shown(row: Any) -> dict[str, Any]:
    told = worded(row)
    return {**told, "is_proposable": row["kind"] in PROPOSABLE and told["evidence"].get("owner") != "nobody"}
