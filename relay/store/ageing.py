"""Own what rows lose with age: a few hundred at a time, each a short transaction; what bears a key stays for ever."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from relay.store.callbacks import NOT_ACCEPTED
from relay.store.halving import first_since
from relay.store.rows import attempts, callbacks, deliveries, marks

_RAW = "callbacks.raw"


def empty_callbacks(connection: Connection, *, before: datetime, most: int) -> int:
    """Let go of what the next callbacks from before a moment came as; what was read of them stays. Return how many there were.

    Requests that were refused have a life of their own, and are not touched.
    """
    reached = connection.scalar(select(marks.c.reached).where(marks.c.name == _RAW)) or 0
    end = first_since(connection, callbacks.c.id, callbacks.c.received_at, before)
    ids = select(callbacks.c.id).where(callbacks.c.id > reached, callbacks.c.id < end).order_by(callbacks.c.id)
    found = list(connection.scalars(ids.limit(most)))
    if found:
        these = callbacks.c.id.between(found[0], found[-1]) & (callbacks.c.verdict != "rejected")
        connection.execute(update(callbacks).where(these).values(body=None, query=None, headers="{}"))
        _mark(connection, _RAW, found[-1])
    return len(found)


def drop_rejected(connection: Connection, *, before: datetime, most: int) -> int:
    """Delete the next refused requests from before a moment; return how many there were."""
    end = first_since(connection, callbacks.c.id, callbacks.c.received_at, before)
    refused = (callbacks.c.verdict == "rejected", NOT_ACCEPTED, callbacks.c.id < end)
    ids = select(callbacks.c.id).where(*refused).order_by(callbacks.c.id).limit(most)
    return connection.execute(delete(callbacks).where(callbacks.c.id.in_(ids))).rowcount


def drop_attempts(connection: Connection, *, after: int, before: datetime, most: int) -> int | None:
    """Delete attempts from before a moment, of the next deliveries behind a number that have ended.

    Returns the number of the last delivery that was looked at, None when
    there is none any more. What a delivery came to stays in its own row.
    """
    end = first_since(connection, deliveries.c.id, deliveries.c.created_at, before)
    behind = (attempts.c.delivery_id > after) & (attempts.c.delivery_id < end)
    found = select(attempts.c.delivery_id).where(behind).distinct().order_by(attempts.c.delivery_id).limit(most)
    last: int | None = connection.scalar(select(func.max(found.subquery().c.delivery_id)))
    if last is not None:
        connection.execute(_DROP_ATTEMPTS, {"after": after, "last": last, "before": before})
    return last


def _mark(connection: Connection, name: str, reached: int) -> None:
    if not connection.execute(update(marks).where(marks.c.name == name).values(reached=reached)).rowcount:
        connection.execute(insert(marks).values(name=name, reached=reached))


_DROP_ATTEMPTS = text(
    """
    DELETE FROM attempts WHERE delivery_id > :after AND delivery_id <= :last AND started_at < :before
        AND EXISTS (SELECT 1 FROM deliveries d WHERE d.id = delivery_id AND d.state IN ('delivered', 'dead'))
    """
).bindparams(bindparam("before", type_=attempts.c.started_at.type))
