"""Own how people look at deliveries and set them going again; the deliverers' own statements are the outbox's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, union_all, update

from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import attempts, deliveries, endpoints, events

State = Literal["pending", "sending", "delivered", "dead", "paused", "held"]
STATES: tuple[State, ...] = get_args(State)

# Named one by one, so that their index finds the few among the many that have arrived.
_NOT_ARRIVED = tuple(state for state in STATES if state != "delivered")
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
        query = query.where(deliveries.c.state.in_(_NOT_ARRIVED))
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


def count_of(connection: Connection, endpoint_id: str, *, most: int) -> int:
    """Return how many deliveries an endpoint has, `most` for more."""
    some = select(deliveries.c.id).where(deliveries.c.endpoint_id == endpoint_id).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def recent_attempts(connection: Connection, endpoint_ids: Collection[str], *, most: int) -> list[RowMapping]:
    """Return the attempts of each endpoint's newest deliveries, `most` of them: endpoint, time, outcome, latency."""
    parts = [
        select(
            select(deliveries.c.id, deliveries.c.endpoint_id)
            .where(deliveries.c.endpoint_id == one)
            .order_by(deliveries.c.id.desc())
            .limit(most)
            .subquery()
        )
        for one in endpoint_ids
    ]
    if not parts:
        return []
    newest = union_all(*parts).subquery()
    told = (attempts.c.started_at, attempts.c.outcome, attempts.c.latency_ms)
    query = select(newest.c.endpoint_id, *told).join(newest, newest.c.id == attempts.c.delivery_id)
    return list(connection.execute(query).mappings())


def dead_by_answer(connection: Connection) -> list[RowMapping]:
    """Return the dead letters by endpoint and last answer: how many, since when the first and the last; the most first."""
    first = func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type)
    last = func.max(deliveries.c.finished_at, type_=deliveries.c.finished_at.type)
    kind = (deliveries.c.endpoint_id, deliveries.c.last_status, deliveries.c.last_error)
    count = func.count()
    query = (
        select(
            *kind,
            endpoints.c.url,
            endpoints.c.deleted_at,
            count.label("count"),
            first.label("first"),
            last.label("last"),
        )
        .join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)
        .where(deliveries.c.state == "dead")
        .group_by(*kind, endpoints.c.url, endpoints.c.deleted_at)
        .order_by(count.desc(), deliveries.c.endpoint_id)
    )
    return list(connection.execute(query).mappings())


def restart(connection: Connection, delivery_id: int, *, was: str, now: datetime) -> bool:
    """Make a delivery due at the start of its schedule; False when it is no longer in the state it was."""
    still = (deliveries.c.id == delivery_id) & (deliveries.c.state == was)
    fresh = {"state": "pending", "failures": 0, "unknowns": 0, "due_at": now, "owed_since": now, "finished_at": None}
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
