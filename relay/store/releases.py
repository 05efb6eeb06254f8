"""Own the statements of a release: what was announced before, and what stops being stopped."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from relay.core.releases import Announced
from relay.store.rows import deliveries, events

_CREDITING = ("recharge.succeeded", "recharge.adjusted", "recharge.reversed", "recharge.reinstated")
# A deleted endpoint is told nothing more; a stopped one misses nothing.
STATE_AFTER_HOLD = """(
        SELECT CASE WHEN p.deleted_at IS NOT NULL THEN 'dead' WHEN p.state = 'enabled' THEN 'pending' ELSE 'paused' END
        FROM endpoints p WHERE p.id = deliveries.endpoint_id)"""
_LET_GO = text(
    f"""
    UPDATE deliveries SET due_at = :now, owed_since = :now, state = {STATE_AFTER_HOLD}
    WHERE state = 'held' AND event_sequence IN (
        SELECT sequence FROM events WHERE namespace = :namespace AND orderid = :orderid)
    """
).bindparams(bindparam("now", type_=deliveries.c.due_at.type))


def announced(connection: Connection, namespace: str, orderid: str) -> Announced:
    """Return what was announced of an order's money."""
    query = select(events.c.type, func.count()).where(
        events.c.namespace == namespace, events.c.orderid == orderid, events.c.type.in_(_CREDITING)
    )
    counts = {row[0]: int(row[1]) for row in connection.execute(query.group_by(events.c.type))}
    return Announced(
        credit=bool(counts),
        reversals=counts.get("recharge.reversed", 0),
        reinstatements=counts.get("recharge.reinstated", 0),
    )


def let_go(connection: Connection, namespace: str, orderid: str, *, now: datetime) -> int:
    """Let the deliveries of an order go that a conflict had stopped; return how many."""
    return connection.execute(_LET_GO, {"namespace": namespace, "orderid": orderid, "now": now}).rowcount
