"""Own the pages of the reconciler's runs: each with where it stood, what it saw, and the manifest that says so."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request

from relay.bootstrap import desk_of, now
from relay.errors import NotFound
from relay.flows import reconcile
from relay.store import runs as store
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import READERS, framed, number_of
from relay.web.context import runtime
from relay.web.finance.days import day_of

routes = Blueprint("runs", __name__)

PER_PAGE = 50


@routes.get("/finance/runs")
@person(*READERS)
def listed() -> Response:
    """List the runs, the newest first; those of one day when the query names it."""
    day = day_of(request.args["day"]) if request.args.get("day") else None
    within = None if day is None else (day.start, day.end)
    with reading(runtime().engine) as connection:
        page = store.page(connection, after=number_of(request.args.get("after", "")), limit=PER_PAGE, within=within)
    last = reconcile.status(runtime().engine)
    rows = [_told(row) for row in page.rows]
    return framed("runs.html", "runs", rows=rows, next=page.next, day=day, last=last, now=now())


@routes.get("/finance/runs/<id>")
@person(*READERS)
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show one run: its cut, what it counted, what was open when it ended, and its manifest."""
    number = number_of(id)
    with reading(runtime().engine) as connection:
        row = None if number is None else store.find(connection, number)
    if row is None:
        raise NotFound("no such run")
    day = desk_of(runtime()).calendar.day_at(row["finished_at"])
    return framed("run.html", "runs", run=_told(row), day=day)


def _told(row: Any) -> dict[str, Any]:
    return {**row, "told": json.loads(row["manifest"])}
