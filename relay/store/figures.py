"""Own the counts that are watched; each costs in proportion to what is open or new, not to what there ever was."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

from relay.store.rows import breaks, callbacks, deliveries, endpoints, orders

# Rows may become visible in another order than their ids were given; after this long that is over.
SETTLED_AFTER = timedelta(minutes=1)


def backlog(connection: Connection) -> dict[str, tuple[int, datetime]]:
    """Return for each endpoint how many deliveries are due, waiting for a retry or being sent, and since when the oldest is."""
    oldest = func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type)
    query = (
        select(deliveries.c.endpoint_id, func.count().label("count"), oldest.label("since"))
        .where(deliveries.c.state.in_(("pending", "sending")))
        .where(_of_the_living())
        .group_by(deliveries.c.endpoint_id)
        .order_by(deliveries.c.endpoint_id)
    )
    return {row.endpoint_id: (row[1], row.since) for row in connection.execute(query)}


def dead(connection: Connection) -> int:
    """Return how many deliveries were given up and can be sent again."""
    query = select(func.count()).select_from(deliveries).where(deliveries.c.state == "dead")
    return connection.scalar(query.where(_of_the_living())) or 0


def open_breaks(connection: Connection) -> dict[str, float]:
    """Return how many breaks of each severity are open."""
    query = select(breaks.c.severity, func.count()).where(breaks.c.state == "open").group_by(breaks.c.severity)
    return {str(severity): count for severity, count in connection.execute(query)}


def undecided(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return how many orders are held, or await evidence, and their micros; a state without orders is absent."""
    query = (
        select(orders.c.state, func.count(), func.sum(orders.c.amount_micros))
        .where(orders.c.state.in_(("held", "confirming")))
        .group_by(orders.c.state)
    )
    return {state: (count, int(micros or 0)) for state, count, micros in connection.execute(query)}


def _of_the_living() -> ColumnElement[bool]:
    """Nothing is sent to an endpoint that was deleted."""
    return deliveries.c.endpoint_id.in_(select(endpoints.c.id).where(endpoints.c.deleted_at.is_(None)))


class VerdictCount:
    """Counts callbacks by verdict; what was counted once is not read again, and what was evicted since stays counted."""

    def __init__(self) -> None:
        self._settled: Counter[str] = Counter()
        self._until = 0

    def read(self, connection: Connection, *, now: datetime) -> dict[str, float]:
        """Return the totals."""
        new = callbacks.c.id > self._until
        until = connection.scalar(
            select(func.max(callbacks.c.id)).where(new, callbacks.c.received_at < now - SETTLED_AFTER)
        )
        if until is not None:
            self._settled += _by_verdict(connection, new & (callbacks.c.id <= until))
            self._until = until
        return dict(self._settled + _by_verdict(connection, callbacks.c.id > self._until))


def _by_verdict(connection: Connection, which: ColumnElement[bool]) -> Counter[str]:
    query = select(callbacks.c.verdict, func.count().label("count")).where(which).group_by(callbacks.c.verdict)
    return Counter({row.verdict: row[1] for row in connection.execute(query)})
