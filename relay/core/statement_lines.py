"""Own the figures of a statement one under the other: what `statement.csv` and the first sheet of a workbook list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from relay.core.advice import SEVERITIES
from relay.core.events import rfc3339
from relay.core.statement import DISPUTED, REASONS, Bridge, Statement, Sum, Verdict

Figure = dict[str, Any]


def figures(told: Statement, verdict: Verdict, *, turning: Sum, checked_at: datetime | None) -> Iterator[Figure]:
    """Yield every figure, by section; `turning` is what becomes a break today, `checked_at` when a run last saw everything.

    A figure has a count, money, or a value in words; None is what it has not, which is not zero.
    """
    yield _value("verdict", "Verdict", verdict.sentence)
    yield from _summary(told, turning, checked_at)
    yield from _chains(told)
    yield from _bridge("bridge", told.bridge)
    if len(told.bridges) > 1:
        for name, bridge in told.bridges.items():
            yield from _bridge(f"bridge of {name}", bridge)
    for name, (paid, credited) in told.accounts.items():
        yield _sum(f"account {name or 'not named'}", "Paid at the provider", paid)
        yield _sum(f"account {name or 'not named'}", "Credited by the relay", credited)
    yield _sum("around the bridge", REASONS["chain_alone"], told.chain_alone)
    yield _sum("around the bridge", "Late, of sealed days", told.late)
    yield from _open(told)


def _summary(told: Statement, turning: Sum, checked_at: datetime | None) -> Iterator[Figure]:
    summary = told.summary
    yield _sum("summary", "Orders", summary.whole)
    yield _sum("summary", "Agreeing", summary.agreeing)
    yield _value("summary", "Match rate by count", summary.matched_by_count)
    yield _value("summary", "Match rate by value", summary.matched_by_value)
    yield _sum("summary", "Recovered by itself", summary.recovered)
    yield _value("summary", "Seconds to recover, median", None if summary.wait_s is None else str(summary.wait_s))
    yield _value("summary", "Callback loss", summary.callback_loss)
    yield _sum("summary", "Open breaks", summary.open_breaks)
    yield _value("summary", "Oldest open break", None if summary.oldest is None else rfc3339(summary.oldest))
    yield _sum("summary", "Pending, turning today", turning)
    yield _sum("summary", "Orphan balance", summary.orphaned)
    yield _sum("summary", "Held", summary.held)
    yield _value("summary", "Last complete run", None if checked_at is None else rfc3339(checked_at))


def _chains(told: Statement) -> Iterator[Figure]:
    for chain in told.chains:
        section = f"chain {chain.chain}"
        if not (chain.is_on or chain.received.count or chain.collected.count):
            yield _value(section, "Not checked", "no node is configured")
            continue
        yield _sum(section, "Received", chain.received)
        yield _sum(section, "Sent", Sum(chain.collected.count, -chain.collected.micros))
        yield _sum(section, "Of known orders", chain.matched)
        yield _sum(section, "Of no order", chain.unmatched)
        yield _sum(section, "Not final yet", chain.unfinal)


def _bridge(section: str, bridge: Bridge) -> Iterator[Figure]:
    disputed = [line for line in bridge.lines if line.reason in DISPUTED]
    yield _sum(section, "Paid at the provider", bridge.provider)
    for line in bridge.by_reason:
        yield _sum(section, REASONS[line.reason], Sum(line.sum.count, -line.sum.micros))
    yield _sum(section, "Credited by the relay", bridge.relay)
    yield _figure(section, "Unexplained", micros=bridge.residual)
    yield _figure(section, "Gross difference", micros=bridge.gross)
    yield _sum(section, "Of it disputed", Sum(sum(line.sum.count for line in disputed), bridge.disputed.micros))


def _open(told: Statement) -> Iterator[Figure]:
    yield _sum("needs a person", "Needs a person", told.needs)
    for number, name in SEVERITIES.items():
        yield _sum("breaks", f"P{number}, {name}", told.open_breaks.get(number, Sum()))
    yield _sum("breaks", "First seen on the day", told.opened)
    yield _sum("breaks", "Resolved on the day", told.resolved)
    for name, one in told.ages:
        yield _sum("age of open breaks", name, one)
    for state, one in sorted(told.pending.items()):
        yield _sum("pending", state, one)


def _sum(section: str, what: str, one: Sum) -> Figure:
    return _figure(section, what, count=one.count, micros=one.micros)


def _value(section: str, what: str, value: str | None) -> Figure:
    return _figure(section, what, value=value or "none")


def _figure(section: str, what: str, **told: object) -> Figure:
    return {"section": section, "what": what, "count": None, "micros": None, "value": None, **told}
