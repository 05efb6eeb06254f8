"""Own whether a person has paused a source."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from relay.store.rows import source_states


def states(connection: Connection) -> dict[str, RowMapping]:
    """Return what is remembered of each source, by name."""
    return {row["name"]: row for row in connection.execute(select(source_states)).mappings()}


def set_pause(connection: Connection, name: str, namespace: str, *, by: str | None, now: datetime) -> None:
    """Note who paused a source, or with None that it goes on; one that was never recorded is recorded now."""
    pause = {"paused_at": now if by else None, "paused_by": by}
    changed = connection.execute(update(source_states).where(source_states.c.name == name).values(**pause))
    if not changed.rowcount:
        row = {"name": name, "namespace": namespace, "created_at": now}
        connection.execute(insert(source_states).values(**row, **pause))
