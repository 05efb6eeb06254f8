"""Own the stored sums of days that have many orders."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, insert, select

from relay.core.days import Day
from relay.store.rows import day_sums


def keep(connection: Connection, day: Day, figures: str, *, now: datetime) -> None:
    """Write the sums of a day, as JSON, in place of what was known of it."""
    key = {"starts_at": day.start, "ends_at": day.end}
    connection.execute(delete(day_sums).where(*(day_sums.c[name] == value for name, value in key.items())))
    connection.execute(insert(day_sums).values(**key, figures=figures, computed_at=now))


def find(connection: Connection, day: Day) -> RowMapping | None:
    """Return what is known of a day."""
    query = select(day_sums).where(day_sums.c.starts_at == day.start, day_sums.c.ends_at == day.end)
    return connection.execute(query).mappings().first()
