"""Own how people look at the requests that came to the callback door."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select, text

from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import callbacks

# Word for word the condition of the index that lists what was not accepted: SQLite looks for nothing less.
NOT_ACCEPTED = text("callbacks.verdict <> 'accepted'")
# Raw requests are only read one at a time.
_SUMMARY = [column for column in callbacks.columns if column.name not in ("body", "headers", "query")]


def page(
    connection: Connection,
    *,
    after: Cursor | None,
    limit: int,
    verdict: str | None = None,
    reason: str | None = None,
    source: str | None = None,
) -> Page:
    """List requests without their bytes, newest first."""
    query = _which(select(*_SUMMARY), verdict=verdict, reason=reason, source=source)
    return read_page(connection, query, callbacks.c.id, after=after, limit=limit)


def find(connection: Connection, callback_id: int) -> RowMapping | None:
    """Return one request with its bytes."""
    return connection.execute(select(callbacks).where(callbacks.c.id == callback_id)).mappings().first()


def rejected(
    connection: Connection, *, after: Cursor | None, limit: int, reason: str | None, source: str | None
) -> Page:
    """List rejected requests with their bytes, oldest first."""
    query = _which(select(callbacks), verdict="rejected", reason=reason, source=source)
    return read_page(connection, query, callbacks.c.id, after=after, limit=limit, newest_first=False)


def _which(query: Select[Any], *, verdict: str | None, reason: str | None, source: str | None) -> Select[Any]:
    # Only what was refused has a reason.
    verdict = "rejected" if verdict is None and reason is not None else verdict
    wanted = {callbacks.c.verdict: verdict, callbacks.c.reason: reason, callbacks.c.source: source}
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    return query if verdict in (None, "accepted") else query.where(NOT_ACCEPTED)


def rejected_kinds(connection: Connection, *, most: int) -> list[RowMapping]:
    """Return the rejected requests by source and reason: how many, of how many senders, the newest and when it came; the latest first."""
    newest = func.max(callbacks.c.id)
    last = func.max(callbacks.c.received_at, type_=callbacks.c.received_at.type)
    query = (
        select(
            callbacks.c.source,
            callbacks.c.reason,
            func.count().label("count"),
            func.count(callbacks.c.address_group.distinct()).label("senders"),
            newest.label("newest"),
            last.label("last"),
        )
        .where(callbacks.c.verdict == "rejected")
        .group_by(callbacks.c.source, callbacks.c.reason)
        .order_by(newest.desc())
        .limit(most)
    )
    return list(connection.execute(query).mappings())


def these(connection: Connection, ids: Collection[int]) -> list[RowMapping]:
    """Return requests with their bytes."""
    return list(connection.execute(select(callbacks).where(callbacks.c.id.in_(ids))).mappings())


def of_order(connection: Connection, namespace: str, orderid: str, *, most: int) -> list[RowMapping]:
    """Return what was kept of an order, oldest first."""
    query = select(*_SUMMARY).where(callbacks.c.namespace == namespace, callbacks.c.orderid == orderid)
    return list(connection.execute(query.order_by(callbacks.c.id).limit(most)).mappings())
