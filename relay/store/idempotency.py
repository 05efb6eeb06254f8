"""Own the stored answers of requests that may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, select, text, update

from relay.store.rows import idempotency_keys as table

_TIME = table.c.started_at.type


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Note that a request begins; False when its key is known."""
    return bool(connection.execute(_ADD, dict(row)).rowcount)


def find(connection: Connection, owner: str, key: str) -> RowMapping | None:
    """Return what is known of a key."""
    return connection.execute(select(table).where(*_of(owner, key))).mappings().first()


def take_over(connection: Connection, row: Mapping[str, Any], *, begun: datetime) -> bool:
    """Let a request begin anew in the place of the one that began at `begun`; False when somebody else was faster."""
    still = (*_of(row["owner"], row["key"]), table.c.started_at == begun)
    return bool(connection.execute(update(table).where(*still).values(**{**row, "answer": None})).rowcount)


def keep(connection: Connection, owner: str, key: str, *, begun: datetime, answer: str) -> None:
    """Keep the answer of the request that began at `begun`."""
    connection.execute(update(table).where(*_of(owner, key), table.c.started_at == begun).values(answer=answer))


def forget(connection: Connection, owner: str, key: str, *, begun: datetime) -> None:
    """Forget the request that began at `begun`."""
    connection.execute(delete(table).where(*_of(owner, key), table.c.started_at == begun))


def prune(connection: Connection, *, now: datetime) -> int:
    """Forget what has expired; return how much that was."""
    return connection.execute(delete(table).where(table.c.expires_at <= now)).rowcount


def _of(owner: str, key: str) -> tuple[Any, ...]:
    return (table.c.owner == owner, table.c.key == key)


_ADD = text(
    """
    INSERT INTO idempotency_keys (owner, key, fingerprint, started_at, expires_at)
    VALUES (:owner, :key, :fingerprint, :started_at, :expires_at) ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("started_at", type_=_TIME), bindparam("expires_at", type_=_TIME))
