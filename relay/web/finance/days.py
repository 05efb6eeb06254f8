"""Own the page of a day: does it agree, what proves it, what is open, and since when."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.closing import obstacles
from relay.core.days import ONE, Calendar, Day, read_day
from relay.core.statement import REASONS, Statement, judge
from relay.errors import NotFound
from relay.flows import close, months
from relay.flows import days as flow
from relay.store import closes, day_facts, day_figures
from relay.store.engine import reading, snapshot
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import runtime

routes = Blueprint("days", __name__)

SHOWN, MOST = 25, 500


@routes.get("/finance")
@person(*READERS)
def finance() -> AnyResponse:
    """Open the oldest day that is not sealed; the present one when all are."""
    with reading(runtime().engine) as connection:
        day = close.oldest_open(connection, calendar(), now())
    return redirect(f"/finance/{day.name}", code=303)


@routes.get("/finance/<day>")
@person(*READERS)
def statement(day: str) -> Response:
    """Show the statement of a day; of a month the chain of its closed days."""
    moment = now()
    if months.is_month(day):
        return _month(day)
    asked = day_of(day)
    with snapshot(runtime().engine) as connection:
        told = flow.statement_of(connection, asked, runtime().sources, runtime().settings.chains, now=moment)
        first = flow.first_day(connection, calendar(), moment)
        needed = day_figures.needed(connection, asked, limit=SHOWN)
        waiting = day_figures.pending_orders(connection, asked, limit=SHOWN)
        last_callback, imported = day_figures.heard(connection)
        closing = closing_of(connection, asked, told, moment)
    today = calendar().day_at(moment).date
    return framed(
        "day.html",
        "statement",
        told=told,
        day=asked,
        verdict=judge(told, moment, today),
        closing=closing,
        reasons=REASONS,
        needed=needed,
        waiting=waiting,
        last_callback=last_callback,
        imported=imported,
        sources=runtime().sources,
        cutoff=runtime().settings.business_cutoff,
        before=asked.date - ONE if asked.date > first.date else None,
        after=asked.date + ONE if asked.date < today else None,
        now=moment,
    )


@routes.get("/finance/<day>/orders")
@person(*READERS)
def orders_of(day: str) -> Response:
    """List the orders behind a line of the bridge."""
    asked, reason = day_of(day), request.args.get("reason") or None
    if reason is not None and reason not in {*REASONS, "agrees", "chain_only"}:
        raise NotFound("the bridge has no such line")
    with reading(runtime().engine) as connection:
        rows = list(day_facts.items(connection, asked, reason=reason, limit=MOST))
    return framed("day_orders.html", "statement", day=asked, reason=reason, reasons=REASONS, rows=rows, most=MOST)


def _month(name: str) -> Response:
    with reading(runtime().engine) as connection:
        first = flow.first_day(connection, calendar(), now())
        told = months.month_of(connection, name, calendar(), first, now())
    return framed("month.html", "statement", told=told, chart=months.chart(told.days))


def closing_of(connection: Connection, day: Day, told: Statement, moment: datetime) -> dict[str, Any]:
    """Return where the close of a day stands: what is in its way, what was decided, what changed since."""
    versions = closes.versions(connection, day.name)
    row = next((one for one in versions if one["state"] != "reopened"), None)
    if row is None:
        items = close.open_items(closes.breaks_of(connection, day))
        return {"row": None, "obstacles": obstacles(told, items, moment), "versions": versions}
    return {
        "row": row,
        "manifest": json.loads(row["manifest"]),
        "changes": close.since_prepared(connection, day, row, told),
        "versions": versions,
    }


def calendar() -> Calendar:
    """Return the business day of the settings."""
    return Calendar(runtime().settings.business_timezone, runtime().settings.business_cutoff)


def day_of(text: str) -> Day:
    """Return the day that a path names; NotFound for anything else."""
    try:
        of = read_day(text)
    except ValueError:
        raise NotFound("there is no such day; a day is named as 2026-11-23") from None
    with reading(runtime().engine) as connection:
        return flow.day_named(connection, calendar(), of)
