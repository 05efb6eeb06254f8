"""Own the few figures of each day that the trend shows: written when a day is looked at, read for a month at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from statistics import median_low
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from relay.core.days import Day
from relay.core.statement import Sum
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import together
from relay.store.rows import day_trends, recoveries


def keep(connection: Connection, row: Mapping[str, Any]) -> None:
    """Write the figures of a day in place of what was known of it."""
    together(connection, (_KEEP.on(connection), given([row])))


def between(connection: Connection, first: str, end: str) -> dict[str, RowMapping]:
    """Return what is known of the days from `first` on, before `end`."""
    query = select(day_trends).where(day_trends.c.day >= first, day_trends.c.day < end)
    return {row["day"]: row for row in connection.execute(query.order_by(day_trends.c.day)).mappings()}


def recovered(connection: Connection, day: Day) -> tuple[Sum, int | None]:
    """Return what was credited on a day though its callback never came, and the median of the seconds from payment to credit."""
    applied = (recoveries.c.applied_at >= day.start, recoveries.c.applied_at < day.end)
    rows = connection.execute(select(recoveries).where(recoveries.c.state == "applied", *applied)).mappings().all()
    waits = [_wait(row["occurred_at"] or row["found_at"], row["applied_at"]) for row in rows]
    # The lower one of the two in the middle is a wait that somebody had, in whole seconds.
    return Sum(len(rows), sum(row["amount_micros"] for row in rows)), median_low(waits) if waits else None


def _wait(since: datetime, until: datetime) -> int:
    return max(int((until - since).total_seconds()), 0)


_COLUMNS = tuple(day_trends.c.keys())
# The condition of WHERE keeps SQLite from reading ON as the beginning of a join.
_KEEP = with_rows(
    f"""
    INSERT INTO day_trends ({", ".join(_COLUMNS)}) SELECT {", ".join(_COLUMNS)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (day) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
    """,
    types_of(day_trends, _COLUMNS),
)
