"""Own how people look at orders."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import breaks, orders


def page(
    connection: Connection,
    *,
    scope: Collection[str] | None,
    after: Cursor | None,
    limit: int,
    state: str | None = None,
    user: str | None = None,
    since: datetime | None = None,
) -> Page:
    """List orders, newest first; `scope` holds namespaces, `since` is compared with the last change."""
    wanted = {orders.c.state: state, orders.c.user_ref: user}
    query = select(orders).where(*(column == value for column, value in wanted.items() if value is not None))
    if scope is not None:
        query = query.where(orders.c.namespace.in_(sorted(scope)))
    if since is not None:
        query = query.where(orders.c.updated_at >= since)
    return read_page(connection, query, orders.c.id, after=after, limit=limit)


def find(connection: Connection, namespace: str, orderid: str) -> RowMapping | None:
    """Return one order."""
    query = select(orders).where(orders.c.namespace == namespace, orders.c.orderid == orderid)
    return connection.execute(query).mappings().first()


def breaks_of(connection: Connection, namespace: str, orderid: str, *, most: int) -> list[RowMapping]:
    """Return the breaks of an order, oldest first."""
    query = select(breaks).where(breaks.c.namespace == namespace, breaks.c.orderid == orderid)
    return list(connection.execute(query.order_by(breaks.c.first_seen, breaks.c.id).limit(most)).mappings())
