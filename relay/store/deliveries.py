"""Own how people look at deliveries and set them going again; the deliverers' own statements are the outbox's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, select, update

from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import attempts, deliveries, endpoints, events

_COLUMNS = (
    *(column for column in deliveries.columns if column.name not in ("lease_until", "lease_owner")),
    events.c.id.label("event_id"),
    events.c.type.label("event_type"),
    events.c.namespace,
    events.c.orderid,
    endpoints.c.url.label("endpoint_url"),
    endpoints.c.state.label("endpoint_state"),
    endpoints.c.deleted_at.label("endpoint_deleted_at"),
)


def page(
    connection: Connection,
    *,
    owner: str | None,
    after: Cursor | None,
    limit: int,
    state: str | None = None,
    endpoint: str | None = None,
    event: str | None = None,
    orderid: str | None = None,
    undelivered: bool = False,
) -> Page:
    """List deliveries, newest first; with an owner, those to their endpoints."""
    wanted = {
        deliveries.c.state: state,
        deliveries.c.endpoint_id: endpoint,
        events.c.id: event,
        events.c.orderid: orderid,
    }
    query = _of(owner).where(*(column == value for column, value in wanted.items() if value is not None))
    if undelivered:
        query = query.where(deliveries.c.state != "delivered")
    return read_page(connection, query, deliveries.c.id, after=after, limit=limit)


def find(connection: Connection, delivery_id: int, *, owner: str | None = None) -> RowMapping | None:
    """Return one delivery."""
    return connection.execute(_of(owner).where(deliveries.c.id == delivery_id)).mappings().first()


def of_order(connection: Connection, namespace: str, orderid: str, *, owner: str | None, most: int) -> list[RowMapping]:
    """Return the deliveries of an order's events, oldest first."""
    query = _of(owner).where(events.c.namespace == namespace, events.c.orderid == orderid)
    return list(connection.execute(query.order_by(deliveries.c.id).limit(most)).mappings())


def attempts_of(connection: Connection, delivery_id: int) -> list[RowMapping]:
    """Return the attempts of a delivery in order."""
    query = select(attempts).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.number)
    return list(connection.execute(query).mappings())


def restart(connection: Connection, delivery_id: int, *, was: str, now: datetime) -> bool:
    """Make a delivery due at the start of its schedule; False when it is no longer in the state it was."""
    still = (deliveries.c.id == delivery_id) & (deliveries.c.state == was)
    fresh = {"state": "pending", "failures": 0, "unknowns": 0, "due_at": now, "finished_at": None}
    return bool(connection.execute(update(deliveries).where(still).values(**fresh)).rowcount)


def add_with_event(connection: Connection, event: Mapping[str, Any], endpoint_id: str, *, now: datetime) -> int:
    """Store an event that concerns one endpoint only; return its delivery's id. The caller holds the feed lock."""
    connection.execute(insert(events).values(dict(event)))
    row = {
        "event_sequence": event["sequence"],
        "endpoint_id": endpoint_id,
        "state": "pending",
        "attempts": 0,
        "failures": 0,
        "unknowns": 0,
        "due_at": now,
        "created_at": now,
    }
    added = connection.execute(insert(deliveries).values(row).returning(deliveries.c.id))
    return int(added.scalar_one())


def _of(owner: str | None) -> Select[Any]:
    joined = deliveries.join(events, events.c.sequence == deliveries.c.event_sequence).join(
        endpoints, endpoints.c.id == deliveries.c.endpoint_id
    )
    query = select(*_COLUMNS).select_from(joined)
    return query if owner is None else query.where(endpoints.c.owner_key_id == owner)
