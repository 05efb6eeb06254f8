"""Own the trend of the last days: a few figures of each, computed once the day is over and kept, so that a page reads rows and no facts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.days import ONE, Calendar, Day
from relay.core.statement import Sum
from relay.flows import day_sums
from relay.flows.days import day_named, first_day
from relay.store import trends
from relay.store.engine import reading, snapshot, writing

log = logging.getLogger(__name__)

DAYS, AT_A_TIME = 30, 5
# What providers answer late still counts for its day.
SETTLED_AFTER = ONE


@dataclass(frozen=True, slots=True)
class TrendLine:
    """A day of the trend; `row` is None while nobody has computed it, which is not zero."""

    name: str
    row: RowMapping | None


def refresh(engine: Engine, calendar: Calendar, *, now: datetime) -> int:
    """Compute the days that are missing or not settled yet, the latest first, a few at a time; return how many."""
    with reading(engine) as connection:
        days = _days(connection, calendar, now)
        known = trends.between(connection, days[0].name, (days[-1].date + ONE).isoformat())
    due = [day for day in reversed(days) if _is_due(day, known.get(day.name), now)]
    for day in due[:AT_A_TIME]:
        with snapshot(engine) as connection:
            sums = day_sums.computed(connection, day, lists=True)
            row = _row(connection, day, sums, now)
        day_sums.keep(engine, day, sums, now=now)
        with writing(engine) as connection:
            trends.keep(connection, row)
    log.info("trend_refreshed", extra={"days": len(due[:AT_A_TIME])})
    return len(due[:AT_A_TIME])


def trend(connection: Connection, calendar: Calendar, *, now: datetime) -> Sequence[TrendLine]:
    """Return the last days, the oldest first."""
    days = _days(connection, calendar, now)
    known = trends.between(connection, days[0].name, (days[-1].date + ONE).isoformat())
    return [TrendLine(day.name, known.get(day.name)) for day in days]


def _days(connection: Connection, calendar: Calendar, now: datetime) -> list[Day]:
    today = calendar.day_at(now).date
    first = max(first_day(connection, calendar, now).date, today - ONE * (DAYS - 1))
    return [day_named(connection, calendar, first + ONE * number) for number in range((today - first).days + 1)]


def _is_due(day: Day, known: RowMapping | None, now: datetime) -> bool:
    return known is None or known["computed_at"] < min(now, day.end + SETTLED_AFTER)


def _row(connection: Connection, day: Day, sums: day_sums.DaySums, now: datetime) -> dict[str, object]:
    paid = sum((one.provider for one in sums.bridges.values()), Sum())
    credited = sum((one.relay for one in sums.bridges.values()), Sum())
    recovered, wait_s = trends.recovered(connection, day)
    return {
        "day": day.name,
        "paid_count": paid.count,
        "paid_micros": paid.micros,
        "credited_count": credited.count,
        "credited_micros": credited.micros,
        "recovered_count": recovered.count,
        "recovered_micros": recovered.micros,
        "wait_s": wait_s,
        "computed_at": now,
    }
