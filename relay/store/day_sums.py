"""Own the stored sums of days that have many orders."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, select, text

from relay.core.days import Day
from relay.store.rows import day_sums


def keep(connection: Connection, day: Day, figures: str, *, now: datetime) -> None:
    """Write the sums of a day, as JSON, in place of what was known of it."""
    connection.execute(_KEEP, {"start": day.start, "end": day.end, "figures": figures, "now": now})


def find(connection: Connection, day: Day) -> RowMapping | None:
    """Return what is known of a day."""
    query = select(day_sums).where(day_sums.c.starts_at == day.start, day_sums.c.ends_at == day.end)
    return connection.execute(query).mappings().first()


# One statement: of two who have computed a day at once, as two people who look at its page have, the later one replaces the other.
_KEEP = text(
    """
    INSERT INTO day_sums (starts_at, ends_at, figures, computed_at) VALUES (:start, :end, :figures, :now)
    ON CONFLICT (starts_at, ends_at) DO UPDATE SET figures = excluded.figures, computed_at = excluded.computed_at
    """
).bindparams(*(bindparam(name, type_=day_sums.c.computed_at.type) for name in ("start", "end", "now")))
