"""Own the days that are looked at once more: how far each look has come, and the orders that it goes through."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select, text, update

from relay.store.halving import first_since
from relay.store.rows import day_looks, dirty, dirty_work, orders

# How far rows may become visible out of the order of their numbers.
SKEW = timedelta(minutes=5)
_TIME = orders.c.created_at.type


def begin(connection: Connection, looks: Iterable[Mapping[str, Any]], *, now: datetime) -> list[str]:
    """Note looks that are due; return the subjects of those that are new."""
    fresh = [connection.execute(_BEGIN, {**look, "now": now}).scalar() for look in looks]
    return [subject for subject in fresh if subject is not None]


def open_ones(connection: Connection, kind: str) -> list[RowMapping]:
    """Return the looks of a kind that have not ended, the oldest day first."""
    query = select(day_looks).where(day_looks.c.kind == kind, day_looks.c.ended_at.is_(None))
    return list(connection.execute(query.order_by(day_looks.c.starts_at, day_looks.c.subject)).mappings())


def move(connection: Connection, look: Mapping[Any, Any], *, cursor: int, tally: Mapping[str, Any]) -> bool:
    """Go on to an order's number; False when another process has gone on from there already."""
    still = (*_mine(look), day_looks.c.cursor == look["cursor"], day_looks.c.ended_at.is_(None))
    values = {"cursor": cursor, "tally": json.dumps(tally)}
    return bool(connection.execute(update(day_looks).where(*still).values(**values)).rowcount)


def end(connection: Connection, look: Mapping[Any, Any], *, now: datetime) -> bool:
    """End a look where it stands; False when it has moved, or has ended."""
    still = (*_mine(look), day_looks.c.cursor == look["cursor"], day_looks.c.ended_at.is_(None))
    return bool(connection.execute(update(day_looks).where(*still).values(ended_at=now)).rowcount)


def bounds(connection: Connection, look: Mapping[Any, Any]) -> dict[str, Any]:
    """Return between which numbers and times the orders lie that a look has before it."""
    first, last = (
        first_since(connection, orders.c.id, orders.c.created_at, moment)
        for moment in (look["starts_at"] - SKEW, look["ends_at"] + SKEW)
    )
    return {
        "first": max(first, look["cursor"] + 1),
        "last": last,
        "start": look["starts_at"],
        "end": look["ends_at"],
        "source": look["source"],
        "begun": look["begun_at"],
    }


def totals(connection: Connection, look: Mapping[Any, Any]) -> dict[str, int]:
    """Return count and sum of what was credited of a day's orders and of what their provider says is paid, and how many do not agree."""
    row = connection.execute(_TOTALS, bounds(connection, {**look, "cursor": 0})).mappings().one()
    return {name: int(value or 0) for name, value in row.items()}


def next_disagreeing(connection: Connection, look: Mapping[Any, Any]) -> RowMapping | None:
    """Return the next order of a day that its provider has not said to be paid as it was credited, and was not asked about since."""
    return connection.execute(_NEXT, bounds(connection, look)).mappings().first()


def page(connection: Connection, look: Mapping[Any, Any], *, limit: int) -> list[RowMapping]:
    """Return a day's next orders: number, key, what was credited, and whether a run has still to look at them."""
    found = bounds(connection, look)
    query = (
        select(
            orders.c.id,
            orders.c.namespace,
            orders.c.orderid,
            orders.c.credited_micros,
            (_waits(dirty) | _waits(dirty_work)).label("is_waiting"),
        )
        .where(orders.c.id >= found["first"], orders.c.id < found["last"])
        .where(orders.c.created_at >= found["start"], orders.c.created_at < found["end"])
    )
    return list(connection.execute(query.order_by(orders.c.id).limit(limit)).mappings())


def _waits(log: Any) -> Any:
    mine = (log.c.namespace == orders.c.namespace) & (log.c.orderid == orders.c.orderid)
    return select(log.c.orderid).where(mine).exists()


def _mine(look: Mapping[Any, Any]) -> tuple[Any, ...]:
    return (day_looks.c.kind == look["kind"], day_looks.c.subject == look["subject"])


_BEGIN = text(
    """
    INSERT INTO day_looks (kind, subject, source, starts_at, ends_at, cursor, tally, begun_at)
    VALUES (:kind, :subject, :source, :starts_at, :ends_at, 0, '{}', :now) ON CONFLICT DO NOTHING RETURNING subject
    """
).bindparams(*(bindparam(name, type_=_TIME) for name in ("starts_at", "ends_at", "now")))
_OF_DAY = """
    FROM orders o LEFT JOIN provider_facts f ON f.source = :source AND f.orderid = o.orderid
    WHERE o.id >= :first AND o.id < :last AND o.source = :source AND o.created_at >= :start AND o.created_at < :end
"""
_AGREES = "coalesce(f.status = 'succeeded' AND f.amount_micros = o.credited_micros, false)"
_BOUNDS = [bindparam(name, type_=_TIME) for name in ("start", "end")]
_TOTALS = text(
    f"""
    SELECT count(*) AS orders, sum(CASE WHEN o.credited_micros > 0 THEN 1 ELSE 0 END) AS credited,
        sum(o.credited_micros) AS credited_micros,
        sum(CASE WHEN f.status = 'succeeded' THEN 1 ELSE 0 END) AS paid,
        sum(CASE WHEN f.status = 'succeeded' THEN f.amount_micros ELSE 0 END) AS paid_micros,
        sum(CASE WHEN {_AGREES} THEN 0 ELSE 1 END) AS disagreeing
    {_OF_DAY}
    """
).bindparams(*_BOUNDS)
_NEXT = text(
    f"""
    SELECT o.id, o.namespace, o.orderid {_OF_DAY} AND NOT {_AGREES} AND (f.checked_at IS NULL OR f.checked_at < :begun)
    ORDER BY o.id LIMIT 1
    """
).bindparams(*_BOUNDS, bindparam("begun", type_=_TIME))
