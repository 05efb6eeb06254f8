"""Own what stands on the sheets of a day's workbook: the same figures as its page, each from the same reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from relay.core.closing import digest
from relay.core.events import rfc3339
from relay.core.exports import BREAKS, ITEMS, Column
from relay.core.statement import DISPUTED, REASONS, Statement, Verdict
from relay.store import closes, day_facts, day_figures

# Of sheets that a person reads; files have all rows.
MOST = 50_000

Table = tuple[str, tuple[Column, ...], Iterable[Mapping[Any, Any]], bool]

_FIGURES = (Column("what", "what"), Column("count", "count", "number"), Column("usdt", "micros", "money"))
_CASH = (
    Column("witness", "what"),
    Column("opening", "opening", "money"),
    Column("in", "received", "money"),
    Column("out", "collected", "money"),
    Column("closing", "closing", "money"),
)
_PENDING = (
    Column("namespace", "namespace"),
    Column("orderid", "orderid"),
    Column("state", "state"),
    Column("amount", "amount_micros", "money"),
    Column("since_utc", "updated_at", "time"),
)
_PARAMETERS = (Column("name", "name"), Column("value", "value"))


def tables(
    connection: Connection, told: Statement, verdict: Verdict, *, manifest: str | None, now: datetime
) -> Iterator[Table]:
    """Yield the sheets: name, columns, rows, and whether they are summed."""
    day = told.day
    fixed = {"business_day": day.name}
    yield "Summary", _FIGURES, _summary(told, verdict), False
    yield "Proof of cash", _CASH, _cash(told), False
    found = closes.breaks_of(connection, day)
    yield "Breaks", BREAKS, ({**row, **fixed} for row in found), True
    yield "Pending", _PENDING, day_figures.pending_orders(connection, day, limit=MOST), True
    # Excel adds up sheet by sheet: what agrees and what differs are together every order of the day.
    rows = ({**row, **fixed} for row in day_facts.items(connection, day, reason="agrees", limit=MOST))
    yield "Matched", ITEMS, rows, True
    differing = ({**row, **fixed} for row in day_facts.items(connection, day) if row["reason"] != "agrees")
    yield "Differences", ITEMS, differing, True
    yield "Parameters", _PARAMETERS, _parameters(told, manifest, now), False


def _summary(told: Statement, verdict: Verdict) -> Iterator[dict[str, Any]]:
    bridge = told.bridge
    yield {"what": verdict.sentence}
    yield {"what": "Paid at the provider", "count": bridge.provider.count, "micros": bridge.provider.micros}
    for line in bridge.by_reason:
        yield {"what": REASONS[line.reason], "count": line.sum.count, "micros": -line.sum.micros}
    yield {"what": "Credited by the relay", "count": bridge.relay.count, "micros": bridge.relay.micros}
    yield {"what": "Unexplained", "count": None, "micros": bridge.residual}
    yield {"what": "Gross difference", "count": None, "micros": bridge.gross}
    disputed = [line for line in bridge.lines if line.reason in DISPUTED]
    yield {
        "what": "Of it disputed",
        "count": sum(line.sum.count for line in disputed),
        "micros": bridge.disputed.micros,
    }
    yield {"what": "Needs a person", "count": told.needs.count, "micros": told.needs.micros}


def _cash(told: Statement) -> Iterator[dict[str, Any]]:
    """Opening and closing stay empty until balances are measured: empty is not zero."""
    for chain in told.chains:
        known = chain.is_on or chain.received.count
        moved = {"received": chain.received.micros, "collected": -chain.collected.micros} if known else {}
        yield {"what": chain.chain if known else f"{chain.chain}, not checked", **moved}
    yield {"what": "Provider, paid", "received": told.bridge.provider.micros}
    yield {"what": "Relay, credited", "received": told.bridge.relay.micros}
    yield {"what": "Provider less relay", "received": told.bridge.difference}


def _parameters(told: Statement, manifest: str | None, now: datetime) -> Iterator[dict[str, str]]:
    day = told.day
    named = {
        "business day": day.name,
        "zone": day.zone,
        "start, included (UTC)": rfc3339(day.start),
        "end, excluded (UTC)": rfc3339(day.end),
        "manifest SHA-256": digest(manifest) if manifest else "not prepared",
        "made at (UTC)": rfc3339(now),
        **{f"not looked at, {number}": gap for number, gap in enumerate(told.gaps, start=1)},
        **{f"incomplete, {number}": fault for number, fault in enumerate(told.faults, start=1)},
    }
    return ({"name": name, "value": value} for name, value in named.items())
