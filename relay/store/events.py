"""Own how the feed is read: in the order of commit, which is the order of its sequence."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, exists, func, select

from relay.core.ids import time_ordered_id
from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import deliveries, events

# How far the clocks of our processes may be apart where an id's time is compared.
_SKEW = timedelta(minutes=1)
# What no endpoint was to be told is rare where all is well, so a page of it looks through no more events than these.
LOOKED_THROUGH = 50_000
# Ids count from here on; their time has no sign.
_EPOCH = datetime(1970, 1, 2, tzinfo=UTC)


def page(
    connection: Connection,
    *,
    scope: Collection[str] | None,
    after: Cursor | None,
    limit: int,
    newest_first: bool = False,
    unsent: bool = False,
    **wanted: Any,
) -> Page:
    """List events, oldest first unless asked otherwise, of the sources in scope (None: of all, and those that have none).

    `wanted` may hold type, source, orderid and since. With `unsent`, only what no endpoint was to be told: such a page
    may be short, or empty, and have a next one.
    """
    query, key = _which(scope, **wanted), events.c.sequence
    if not unsent:
        return read_page(connection, query, key, after=after, limit=limit, newest_first=newest_first)
    end = newest(connection)
    start = min(int(after or 0), end) if after is not None or not newest_first else end + 1
    following = start - LOOKED_THROUGH if newest_first else start + LOOKED_THROUGH
    near = (following, start - 1) if newest_first else (start + 1, following)
    # The deliveries are bounded as well, or the planner may read all of them.
    told = exists().where(deliveries.c.event_sequence == key, deliveries.c.event_sequence.between(*near))
    query = query.where(key.between(*near), ~told)
    found = read_page(connection, query, key, after=after, limit=limit, newest_first=newest_first)
    return found if found.next is not None or not 1 < following < end else Page(found.rows, following)


def last(connection: Connection, *, scope: Collection[str] | None, most: int, **wanted: Any) -> list[RowMapping]:
    """Return the newest so many of them, oldest first."""
    return page(connection, scope=scope, after=None, limit=most, newest_first=True, **wanted).rows[::-1]


def _which(
    scope: Collection[str] | None,
    *,
    type: str | None = None,  # noqa: A002  # named as users name it
    source: str | None = None,
    orderid: str | None = None,
    since: datetime | None = None,
) -> Select[Any]:
    wanted = {events.c.type: type, events.c.source: source, events.c.orderid: orderid}
    query = select(events).where(*(column == value for column, value in wanted.items() if value is not None))
    if scope is not None:
        query = query.where(events.c.source.in_(sorted(scope)))
    if since is not None:
        # Ids begin with their time and are indexed, so that the beginning is found without reading all before it.
        first = max(since, _EPOCH) - _SKEW
        query = query.where(events.c.id >= time_ordered_id("evt", first, b""), events.c.created_at >= since)
    return query


def find(connection: Connection, event_id: str) -> RowMapping | None:
    """Return one event."""
    return connection.execute(select(events).where(events.c.id == event_id)).mappings().first()


def of_order(connection: Connection, namespace: str, orderid: str, *, most: int) -> list[RowMapping]:
    """Return the events of an order, oldest first."""
    query: Any = select(events).where(events.c.namespace == namespace, events.c.orderid == orderid)
    return list(connection.execute(query.order_by(events.c.sequence).limit(most)).mappings())


def newest(connection: Connection) -> int:
    """Return the sequence of the newest event, 0 when there is none."""
    return connection.scalar(select(func.max(events.c.sequence))) or 0
