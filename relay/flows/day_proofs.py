"""Own what a day's proofs come to: computed line by line in a job and kept, so that a page reads a row for each token."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Engine

from relay.core.balances import Proof, add_up
from relay.core.chains import Chain
from relay.core.days import ONE, Calendar, Day
from relay.flows.balances import DAYS_BACK, all_proofs
from relay.flows.days import day_named
from relay.store import day_proofs as store
from relay.store.engine import reading, snapshot, writing

log = logging.getLogger(__name__)

# The older a day, the seldomer it is proven again: a day after its end once an hour.
PARTS = 24
# A line takes a tenth of a millisecond or two; of the present day they may take a hundredth of the time.
REST_A_LINE = timedelta(milliseconds=15)


def prove_days(engine: Engine, chain: Chain, calendar: Calendar, *, now: datetime) -> int:
    """Prove the present day, and those of the last days that may have changed since; return how many."""
    with reading(engine) as connection:
        today = calendar.day_at(now).date
        days = [day_named(connection, calendar, today - ONE * back) for back in range(DAYS_BACK + 1)]
    due = [day for day in days if _is_due(engine, chain, day, now)]
    for day in due:
        prove_day(engine, chain, day, now=now)
    log.info("days_proven", extra={"chain": chain.name, "days": len(due)})
    return len(due)


def prove_day(engine: Engine, chain: Chain, day: Day, *, now: datetime) -> None:
    """Prove one day and keep what it comes to."""
    gaps: list[Proof] = []
    with snapshot(engine) as connection:
        lines = all_proofs(connection, {chain.name: chain}, day, now=now)
        totals = add_up(_noting(lines, gaps), chain.tokens, chain.name)
    with writing(engine) as connection:
        store.keep(connection, chain.name, day, totals, gaps, now=now)


def _noting(lines: Iterable[Proof], gaps: list[Proof]) -> Iterator[Proof]:
    for one in lines:
        if one.verdict in ("gap", "explained"):
            gaps.append(one)
        yield one


def _is_due(engine: Engine, chain: Chain, day: Day, now: datetime) -> bool:
    with reading(engine) as connection:
        known = [one for one in store.totals(connection, day) if one[0].chain == chain.name]
        seen = store.last_seen(connection, chain.name, day)
    if not known:
        return True
    proven_at = known[0][1]
    if day.has(now):
        return now - proven_at >= sum(total.lines for total, _ in known) * REST_A_LINE
    if proven_at < day.end:
        return True
    if now - proven_at < (now - day.end) / PARTS:
        return False
    return any(total.may_change for total, _ in known) or (seen is not None and seen >= proven_at)
