"""Own the stored endpoints, and what their state means for the deliveries that wait for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import deliveries, endpoints


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Store a new endpoint."""
    connection.execute(insert(endpoints).values(dict(row)))


def find(
    connection: Connection, endpoint_id: str, *, owner: str | None = None, lock: bool = False
) -> RowMapping | None:
    """Return an endpoint that is not deleted, and, where an owner is given, that is theirs.

    With `lock` nobody else changes it until this transaction ends: on
    Postgres by the row's lock, on SQLite because `writing` has the database.
    """
    query = select(endpoints).where(endpoints.c.id == endpoint_id, *_visible(owner))
    return connection.execute(query.with_for_update() if lock else query).mappings().first()


def page(connection: Connection, *, owner: str | None, after: Cursor | None, limit: int) -> Page:
    """List endpoints, newest first."""
    return read_page(connection, select(endpoints).where(*_visible(owner)), endpoints.c.id, after=after, limit=limit)


def named(connection: Connection, ids: Collection[str]) -> list[RowMapping]:
    """Return these endpoints, also those that were deleted."""
    return list(connection.execute(select(endpoints).where(endpoints.c.id.in_(sorted(ids)))).mappings())


def _visible(owner: str | None) -> list[Any]:
    living = endpoints.c.deleted_at.is_(None)
    return [living] if owner is None else [living, endpoints.c.owner_key_id == owner]


@dataclass(frozen=True, slots=True)
class Prefix:
    """An endpoint of kind per_order: where its orders' URLs begin, and whose orders it is told of (None: all)."""

    id: str
    url: str
    sources: frozenset[str] | None


def prefixes(connection: Connection, *, only_enabled: bool = True) -> list[Prefix]:
    """Return the endpoints of kind per_order, so that an order's URL can be held against them."""
    query = select(endpoints).where(endpoints.c.kind == "per_order", *_visible(None))
    if only_enabled:
        query = query.where(endpoints.c.state == "enabled")
    return [_prefix(row) for row in connection.execute(query).mappings()]


def _prefix(row: RowMapping) -> Prefix:
    listed = row["sources"]
    return Prefix(row["id"], row["url"], None if listed is None else frozenset(listed.strip(",").split(",")))


def change(connection: Connection, endpoint_id: str, columns: Mapping[str, Any]) -> None:
    """Change columns of an endpoint."""
    connection.execute(update(endpoints).where(endpoints.c.id == endpoint_id).values(dict(columns)))


def waiting(connection: Connection, endpoint_id: str) -> tuple[int, datetime | None]:
    """Return how many deliveries wait for an endpoint to be enabled, and since when the oldest does."""
    oldest = func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type)
    row = connection.execute(select(func.count(), oldest).where(*_waiting(endpoint_id, ("paused", "pending")))).one()
    return row[0], row[1]


def set_aside(connection: Connection, endpoint_id: str) -> None:
    """Let what is due wait."""
    query = update(deliveries).where(*_waiting(endpoint_id, ("pending",)))
    connection.execute(query.values(state="paused"))


def send_on(connection: Connection, endpoint_id: str, *, was_stopped: bool, now: datetime) -> None:
    """Make what waited due; where it was stopped, also what was under way then, and waits for its next attempt since."""
    query = update(deliveries).where(*_waiting(endpoint_id, ("paused", "pending") if was_stopped else ("paused",)))
    connection.execute(query.values(state="pending", due_at=now))


def give_up(connection: Connection, endpoint_id: str, *, why: str, now: datetime) -> None:
    """Send nothing of what waits; each delivery stays, dead, and can be retried."""
    query = update(deliveries).where(*_waiting(endpoint_id, ("paused", "pending")))
    connection.execute(query.values(state="dead", last_error=why, finished_at=now))


def give_up_deleted(connection: Connection, *, now: datetime) -> int:
    """Send nothing of what was being sent, or set going again, just as its endpoint was deleted; return how many there were."""
    deleted = select(endpoints.c.id).where(endpoints.c.deleted_at.is_not(None))
    query = update(deliveries).where(deliveries.c.state == "pending", deliveries.c.endpoint_id.in_(deleted))
    return connection.execute(query.values(state="dead", last_error="endpoint_deleted", finished_at=now)).rowcount


def _waiting(endpoint_id: str, states: Sequence[str]) -> tuple[Any, ...]:
    return (deliveries.c.endpoint_id == endpoint_id, deliveries.c.state.in_(states))
