"""Own the page of what the brakes hold, and the buttons by which one person asks and another moves the money."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection, RowMapping
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import bench_of, new_act_id, now
from relay.core.statement import Sum
from relay.core.unordered import key_of
from relay.errors import Unprocessable
from relay.flows import asked_acts as flow
from relay.flows.asked_acts import Till
from relay.flows.recovery import LARGEST
from relay.store import asked_acts as store
from relay.store import recoveries
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import actor, runtime
from relay.web.pages import path_of

routes = Blueprint("brakes", __name__)

MOST = 100
CHOICES = ("all", "some")


@routes.get("/finance/brakes")
@person(*READERS)
def shown() -> Response:
    """Show for each source what its brake has stopped: how many, how much, the largest and what speaks for them."""
    with reading(runtime().engine) as connection:
        sums = recoveries.stopped(connection)
        asked = store.waiting(connection, limit=MOST)
        by_source = {row["source"]: row for row in asked if row["orderid"] is None}
        brakes = [
            _brake(connection, name, sums.get(name, Sum()), by_source.get(name)) for name in sorted({*sums, *by_source})
        ]
    others = [{**row, "place": _place(row)} for row in asked if row["orderid"] is not None]
    return framed("brakes.html", "brakes", brakes=brakes, total=sum(sums.values(), Sum()), others=others, now=now())


@routes.post("/finance/brakes/<source>/ask")
@person("preparer", "approver")
def ask(source: str) -> AnyResponse:
    """Ask to credit, or to refuse, all or some of what a brake has stopped."""
    which, act = request.form.get("which", ""), request.form.get("act", "")
    ticked = request.form.getlist("orderid")
    if which not in CHOICES or act not in ("release", "refuse"):
        raise Unprocessable("choose all or those that are ticked, and what becomes of them", pointer="/which")
    if which == "some" and not ticked:
        raise Unprocessable("tick those that you mean", pointer="/orderid")
    moment = now()
    flow.ask_brake(
        _till(),
        source,
        ticked if which == "some" else (),
        request.form.get("reason", ""),
        release=act == "release",
        actor=actor(),
        now=moment,
        act_id=new_act_id(moment),
    )
    return redirect("/finance/brakes", code=303)


@routes.post("/finance/asked/<id>/agree")
@person("approver")
def agree(id: str) -> AnyResponse:  # noqa: A002  # named as the rule names it
    """Do what another person has asked for."""
    row = flow.agree(_till(), id, actor=actor(), now=now())
    runtime().memory.ring()
    return redirect(_place(row), code=303)


@routes.post("/finance/asked/<id>/decline")
@person("preparer", "approver")
def decline(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Withdraw what one has asked for; an approver also declines what others did."""
    row = flow.decline(runtime().engine, id, actor=actor(), now=now())
    return redirect(_place(row), code=303)


def _place(row: RowMapping) -> str:
    """Where what was asked for is looked at; the order of a transfer is there only when it was credited."""
    transfer = key_of(row["subject"])
    if transfer is not None:
        return f"/finance/breaks?q={transfer[1]}"
    return "/finance/brakes" if row["orderid"] is None else path_of(row["source"], row["orderid"])


def _till() -> Till:
    return Till(bench_of(runtime(), actor().id), runtime().intake)


def _brake(connection: Connection, source: str, held: Sum, asked: RowMapping | None) -> dict[str, Any]:
    found = recoveries.stopped_page(connection, source=source, limit=LARGEST).rows
    largest = [{**row, "evidence": json.loads(row["evidence"])} for row in found]
    limits = runtime().sources[source].brake if source in runtime().sources else None
    return {"source": source, "sum": held, "largest": largest, "asked": asked, "limits": limits}
