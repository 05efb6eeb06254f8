"""Own which troubles were told and are not over, and what is counted to find them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, select, text

from relay.store.rows import alarms, callbacks


def told(connection: Connection) -> frozenset[str]:
    """Return the keys of the troubles that are not over."""
    return frozenset(connection.scalars(select(alarms.c.key)))


def begin(connection: Connection, key: str, *, now: datetime) -> bool:
    """Note that a trouble is told; False when it was told before."""
    return connection.execute(_BEGIN, {"key": key, "now": now}).first() is not None


def end(connection: Connection, keys: Collection[str]) -> None:
    """Note that troubles are over."""
    connection.execute(delete(alarms).where(alarms.c.key.in_(sorted(keys))))


def bad_signatures(connection: Connection, *, since: datetime, least: int) -> dict[str, int]:
    """Return the sources that refused so many requests for their signatures since a moment, each with the number."""
    refused = (
        callbacks.c.verdict == "rejected",
        callbacks.c.reason == "bad_signature",
        callbacks.c.received_at >= since,
    )
    query = select(callbacks.c.source, func.count()).where(*refused).group_by(callbacks.c.source)
    return {row[0]: row[1] for row in connection.execute(query.having(func.count() >= least))}


_BEGIN = text("INSERT INTO alarms (key, since) VALUES (:key, :now) ON CONFLICT DO NOTHING RETURNING key").bindparams(
    bindparam("now", type_=alarms.c.since.type)
)
