"""Own the page of a day: does it agree, what proves it, what is open, and since when."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection, RowMapping
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.days import ONE, Calendar, Day, read_day
from relay.core.statement import REASONS, Statement, judge
from relay.errors import NotFound
from relay.flows import close, day_sums, month_close, months
from relay.flows import days as flow
from relay.flows.break_story import spot_of
from relay.store import asked_acts, closes, day_facts, day_figures, day_proofs, runs
from relay.store.engine import reading, snapshot
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import runtime

routes = Blueprint("days", __name__)

SHOWN, SHOWN_RUNS, MOST = 25, 5, 500


@routes.get("/finance")
@person(*READERS)
def finance() -> AnyResponse:
    """Open the oldest day that is not sealed; the present one when all are."""
    with reading(runtime().engine) as connection:
        day = close.oldest_open(connection, calendar(), now())
    return redirect(f"/finance/{day.name}", code=303)


@routes.get("/finance/month")
@person(*READERS)
def month() -> AnyResponse:
    """Open the present month."""
    return redirect(f"/finance/{calendar().day_at(now()).date:%Y-%m}", code=303)


@routes.get("/finance/<day>")
@person(*READERS)
def statement(day: str) -> Response:
    """Show the statement of a day; of a month the chain of its closed days."""
    if months.is_month(day):
        return _month(day)
    asked, moment = day_of(day), now()
    # Sums and lists are statements of their own, and are shown beside each other.
    with snapshot(runtime().engine) as connection:
        sums = _sums(connection, asked, moment)
        told = flow.statement_of(connection, asked, runtime().sources, runtime().settings.chains, now=moment, sums=sums)
        shown = {
            "closing": closing_of(connection, asked, told, moment),
            **_neighbours(connection, asked, moment),
            **_to_do(connection, asked, moment),
            **_witnesses(connection, told, moment),
            **_runs(connection, asked),
        }
    # Behind the snapshot, which writes nothing.
    day_sums.keep(runtime().engine, asked, sums, now=moment)
    verdict = judge(told, moment, calendar().day_at(moment).date)
    shown |= {"told": told, "day": asked, "sums": sums, "verdict": verdict, "reasons": REASONS, "now": moment}
    return framed("day.html", "statement", **shown)


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


def _neighbours(connection: Connection, day: Day, moment: datetime) -> dict[str, Any]:
    """The days before and after, where the books have them."""
    first, today = flow.first_day(connection, calendar(), moment), calendar().day_at(moment)
    return {
        "cutoff": runtime().settings.business_cutoff,
        "before": day.date - ONE if day.date > first.date else None,
        "after": day.date + ONE if day.date < today.date else None,
    }


def _to_do(connection: Connection, day: Day, moment: datetime) -> dict[str, Any]:
    """What waits: for a person, for a second one, or for time alone."""
    today = calendar().day_at(moment)
    needed = day_figures.needed(connection, day, limit=SHOWN)
    return {
        "needed": [{**row, "spot": spot_of(row)} for row in needed],
        "asked_for": len(asked_acts.waiting(connection, limit=SHOWN)),
        "waiting": [_waiting(row) for row in day_figures.pending_orders(connection, day, limit=SHOWN)],
        "turning": day_figures.turning(connection, today.start, today.end),
    }


def _witnesses(connection: Connection, told: Statement, moment: datetime) -> dict[str, Any]:
    """When each was heard, and the addresses of which a chain tells another balance."""
    has_gaps = told.all_cash.gap or told.all_cash.explained
    return {
        "sources": runtime().sources,
        "heard": day_figures.heard(connection, since=moment - ONE),
        "gaps": day_proofs.gaps(connection, told.day)[:SHOWN] if has_gaps else [],
        "decimals": {(total.chain, total.contract): total.decimals for total in told.cash},
    }


def _runs(connection: Connection, day: Day) -> dict[str, Any]:
    """The last runs that ended on a day, how many did, and the last of all."""
    history = runs.page(connection, after=None, limit=SHOWN_RUNS, within=(day.start, day.end)).rows
    return {
        "history": [{**row, "told": json.loads(row["manifest"])} for row in history],
        "runs": runs.counts(connection, day.start, day.end),
        "last_run": runs.last(connection),
        "checked_at": runs.last_complete(connection),
    }


def _waiting(row: RowMapping) -> dict[str, Any]:
    """An order that waits, and the day on which time alone makes a break of it."""
    source = runtime().sources.get(row["source"])
    turns = row["due_at"] or row["expires_at"]
    if turns is None and row["state"] == "confirming" and source is not None:
        turns = row["updated_at"] + timedelta(seconds=source.grace_s)
    return {**row, "turns_at": turns, "turns_on": None if turns is None else calendar().day_at(turns).name}


def _sums(connection: Connection, day: Day, moment: datetime) -> day_sums.DaySums:
    """Return the sums of a day: as they are now where the query asks for it, else also as they were kept."""
    if "now" in request.args:
        return day_sums.computed(connection, day, lists=True)
    return day_sums.known(connection, day, now=moment)


def _month(name: str) -> Response:
    moment = now()
    with reading(runtime().engine) as connection:
        first = flow.first_day(connection, calendar(), moment)
        told = months.month_of(connection, name, calendar(), first, moment)
        made = month_close.draft(connection, told, calendar().day_at(moment).date)
    return framed("month.html", "month", told=told, made=made, chart=months.chart(told.days))


def closing_of(connection: Connection, day: Day, told: Statement, moment: datetime) -> dict[str, Any]:
    """Return where the close of a day stands: what is in its way, what was decided, what changed since."""
    versions = closes.versions(connection, day.name)
    row = next((one for one in versions if one["state"] != "reopened"), None)
    if row is None:
        return {"row": None, "obstacles": close.in_the_way(connection, day, told, moment), "versions": versions}
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
