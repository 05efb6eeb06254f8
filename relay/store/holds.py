"""Own who looks after held orders that no break speaks of."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, text

from relay.core.days import Day
from relay.store.rows import hold_notes, orders


def keep(connection: Connection, namespace: str, orderid: str, *, owner: str | None, note: str, now: datetime) -> None:
    """Write who looks after a held order and why it is held on, in place of what was written before."""
    mine = (hold_notes.c.namespace == namespace, hold_notes.c.orderid == orderid)
    connection.execute(delete(hold_notes).where(*mine))
    row = {"namespace": namespace, "orderid": orderid, "owner": owner, "note": note, "noted_at": now}
    connection.execute(insert(hold_notes), row)


def find(connection: Connection, namespace: str, orderid: str) -> RowMapping | None:
    """Return what was written of a held order."""
    mine = (hold_notes.c.namespace == namespace, hold_notes.c.orderid == orderid)
    return connection.execute(select(hold_notes).where(*mine)).mappings().first()


def without_break(connection: Connection, day: Day) -> list[RowMapping]:
    """Return the orders that are held since before a day's end and have no open break of that time; each with `owner` and `note`."""
    return list(connection.execute(_WITHOUT_BREAK, {"end": day.end}).mappings())


_WITHOUT_BREAK = text(
    """
    SELECT o.namespace, o.orderid, o.held_reason, coalesce(o.amount_micros, o.expected_micros, 0) AS amount_micros,
        n.owner, n.note
    FROM orders o LEFT JOIN hold_notes n ON n.namespace = o.namespace AND n.orderid = o.orderid
    WHERE o.state = 'held' AND o.created_at < :end AND NOT EXISTS (SELECT 1 FROM breaks b
        WHERE b.namespace = o.namespace AND b.orderid = o.orderid AND b.state = 'open' AND b.first_seen < :end)
    ORDER BY o.namespace, o.orderid
    """
).bindparams(bindparam("end", type_=orders.c.created_at.type))
