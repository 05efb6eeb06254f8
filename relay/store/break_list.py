"""Own how breaks are looked at and worked on: a page at a time by keys that are indexed, however many there were."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, exists, func, select, tuple_, update

from relay.store.paging import Page, read_cursor, spell_cursor
from relay.store.rows import breaks, matches, orders

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which breaks; None asks for nothing. `state` is open, resolved or all; `since` and `until` meet the first sight, half-open.

    `keys` names orders, and `spots` beside them transactions and addresses (machine spelling) of breaks without one.
    """

    state: str = "open"
    severity: int | None = None
    kind: str | None = None
    owner: str | None = None
    namespace: str | None = None
    chain: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    least_micros: int | None = None
    most_micros: int | None = None
    keys: Collection[Key] | None = None
    spots: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """How many breaks of a kind there are, their money, and since when the oldest."""

    kind: str
    severity: int
    count: int
    micros: int
    oldest: datetime


def page(connection: Connection, filters: Filters, *, after: str | None, limit: int) -> Page:
    """List breaks: open ones the worst and oldest first, others the latest first. Unprocessable for a cursor that is none."""
    is_work = filters.state == "open"
    key = [breaks.c.severity, breaks.c.first_seen, breaks.c.id] if is_work else [breaks.c.first_seen, breaks.c.id]
    kinds = (int, datetime, str) if is_work else (datetime, str)
    query = select(breaks).where(*_meeting(filters))
    if after is not None:
        seen = tuple_(*read_cursor(after, *kinds))
        query = query.where(tuple_(*key) > seen if is_work else tuple_(*key) < seen)
    ordered = query.order_by(*(key if is_work else [column.desc() for column in key])).limit(limit + 1)
    rows = list(connection.execute(ordered).mappings())
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], None if last is None else spell_cursor([last[column.name] for column in key]))


def counts(connection: Connection, filters: Filters) -> list[Count]:
    """Return what the filters meet, summed by kind; the worst first."""
    oldest = func.min(breaks.c.first_seen, type_=breaks.c.first_seen.type)
    query: Select[Any] = select(
        breaks.c.kind, breaks.c.severity, func.count(), func.sum(breaks.c.amount_micros), oldest
    ).where(*_meeting(filters))
    grouped = query.group_by(breaks.c.kind, breaks.c.severity).order_by(breaks.c.severity, breaks.c.kind)
    return [Count(row[0], row[1], row[2], int(row[3] or 0), row[4]) for row in connection.execute(grouped)]


def find(connection: Connection, break_id: str) -> RowMapping | None:
    """Return one break."""
    return connection.execute(select(breaks).where(breaks.c.id == break_id)).mappings().first()


def change(connection: Connection, break_id: str, **columns: object) -> bool:
    """Change an open break; False when it is not open, or not there."""
    still = (breaks.c.id == break_id) & (breaks.c.state == "open")
    return bool(connection.execute(update(breaks).where(still).values(**columns)).rowcount)


def close(
    connection: Connection,
    *,
    by: str,
    note: str,
    now: datetime,
    break_id: str | None = None,
    key: Key | None = None,
    but: Collection[str] = (),
) -> list[RowMapping]:
    """Close the open break of an id, or those of an order `but` for some classes; return them as they were left."""
    mine = breaks.c.id == break_id if key is None else (breaks.c.namespace == key[0]) & (breaks.c.orderid == key[1])
    statement = update(breaks).where(mine, breaks.c.state == "open", breaks.c.kind.not_in(but))
    closed = statement.values(state="resolved", resolved_at=now, resolved_by=by, note=note)
    return list(connection.execute(closed.returning(breaks)).mappings())


def _meeting(filters: Filters) -> list[ColumnElement[bool]]:
    exact = {
        breaks.c.severity: filters.severity,
        breaks.c.kind: filters.kind,
        breaks.c.owner: filters.owner,
        breaks.c.namespace: filters.namespace,
        breaks.c.state: None if filters.state == "all" else filters.state,
    }
    bounds = (
        (filters.since, breaks.c.first_seen.__ge__),
        (filters.until, breaks.c.first_seen.__lt__),
        (filters.least_micros, breaks.c.amount_micros.__ge__),
        (filters.most_micros, breaks.c.amount_micros.__le__),
    )
    met = [column == value for column, value in exact.items() if value is not None]
    met += [compare(value) for value, compare in bounds if value is not None]
    if filters.chain is not None:
        here = breaks.c.chain == filters.chain
        paid = (matches.c.namespace == breaks.c.namespace, matches.c.orderid == breaks.c.orderid)
        named = (orders.c.namespace == breaks.c.namespace, orders.c.orderid == breaks.c.orderid)
        met.append(
            here
            | exists().where(*paid, matches.c.chain == filters.chain)
            | exists().where(*named, orders.c.chain == filters.chain)
        )
    if filters.keys is not None:
        named_here = breaks.c.tx_hash.in_(sorted(filters.spots)) | breaks.c.address.in_(sorted(filters.spots))
        met.append(tuple_(breaks.c.namespace, breaks.c.orderid).in_(sorted(filters.keys)) | named_here)
    return met
