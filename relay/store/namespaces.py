"""Own the memory of which namespace each source had at its first start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text

from relay.store.rows import orders, source_states


def recorded(connection: Connection) -> dict[str, str]:
    """Return the namespace of every source that was ever started, by name."""
    rows = connection.execute(select(source_states.c.name, source_states.c.namespace))
    return {row.name: row.namespace for row in rows}


def record(connection: Connection, namespaces: Mapping[str, str], *, now: datetime) -> None:
    """Record sources by name; those that are recorded stay as they are."""
    for name, namespace in namespaces.items():
        connection.execute(_RECORD, {"name": name, "namespace": namespace, "now": now})


def histories(connection: Connection, sources: Collection[str]) -> set[tuple[str, str]]:
    """Return (source, appid) of the orders of these sources. This reads all orders: ask only about the few that went away."""
    if not sources:
        return set()
    query = select(orders.c.source, orders.c.appid).distinct().where(orders.c.source.in_(sorted(sources)))
    return {(row.source, row.appid) for row in connection.execute(query.where(orders.c.appid.is_not(None)))}


_RECORD = text(
    """
    INSERT INTO source_states (name, namespace, created_at) VALUES (:name, :namespace, :now)
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("now", type_=source_states.c.created_at.type))
