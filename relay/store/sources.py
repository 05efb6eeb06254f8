"""Own what is remembered of a source: whether a person paused it, and since when its provider says nothing usable."""

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


def note_answer(connection: Connection, name: str, *, is_clear: bool, now: datetime) -> None:
    """Note whether a source's provider gave a usable answer; nothing is written while that stays as it was."""
    mine = (source_states.c.name == name, source_states.c.unclear_since.is_not(None) == is_clear)
    connection.execute(update(source_states).where(*mine).values(unclear_since=None if is_clear else now))


def unclear(connection: Connection, *, before: datetime) -> dict[str, datetime]:
    """Return the sources whose providers have given no usable answer since before a moment, each with that time."""
    query = select(source_states.c.name, source_states.c.unclear_since).where(source_states.c.unclear_since < before)
    return {row.name: row.unclear_since for row in connection.execute(query)}
