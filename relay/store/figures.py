"""Own the counts that are watched; each costs in proportion to what is open or new, not to what there ever was."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, case, func, select

from relay.core.health import PROBED_AT
from relay.store.rows import (
    breaks,
    callbacks,
    chains,
    deliveries,
    dirty,
    dirty_work,
    endpoints,
    orders,
    runs,
    scan_ranges,
)

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


def dead_by_endpoint(connection: Connection) -> dict[str, float]:
    """Return how many deliveries of each endpoint are dead."""
    query = select(deliveries.c.endpoint_id, func.count()).where(deliveries.c.state == "dead", _of_the_living())
    return {row.endpoint_id: row[1] for row in connection.execute(query.group_by(deliveries.c.endpoint_id))}


def failing(connection: Connection) -> dict[str, datetime]:
    """Return since when endpoints do nothing but fail; those that are well, or switched off, are absent."""
    query = select(endpoints.c.id, endpoints.c.failing_since).where(
        endpoints.c.state == "enabled", endpoints.c.deleted_at.is_(None), endpoints.c.failures_in_row >= PROBED_AT
    )
    return {row.id: row.failing_since for row in connection.execute(query)}


def switched_off(connection: Connection) -> dict[str, float]:
    """Return how many endpoints are paused, and how many disabled."""
    query = select(endpoints.c.state, func.count()).where(endpoints.c.deleted_at.is_(None))
    counts = {row.state: row[1] for row in connection.execute(query.group_by(endpoints.c.state))}
    return {state: counts.get(state, 0) for state in ("paused", "disabled")}


@dataclass(frozen=True, slots=True)
class Reconciler:
    """How many orders wait for a run, and the newest run: when it looked last, and whether it saw everything."""

    waiting: int
    looked_at: datetime | None
    is_complete: bool


def reconciler(connection: Connection) -> Reconciler:
    """Return how far runs are."""
    waiting = sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in (dirty, dirty_work))
    newest = select(runs.c.last_checked, runs.c.state).where(runs.c.kind == "incremental").order_by(runs.c.id.desc())
    row = connection.execute(newest.limit(1)).first()
    return Reconciler(waiting, row and row.last_checked, row is None or row.state == "complete")


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """How far a chain's head is past what was read (None while neither is known), when it was read, and whether that has stopped."""

    behind: int | None
    scanned_at: datetime | None
    is_stopped: bool


def chain_figures(connection: Connection) -> dict[str, ChainFigures]:
    """Return how far each chain was read."""
    read = select(func.max(scan_ranges.c.last_block)).where(scan_ranges.c.chain == chains.c.name).scalar_subquery()
    query = select(chains.c.name, chains.c.head_number, read.label("read"), chains.c.scanned_at, chains.c.stopped)
    return {
        row.name: ChainFigures(
            None if row.head_number is None or row.read is None else max(row.head_number - row.read, 0),
            row.scanned_at,
            row.stopped is not None,
        )
        for row in connection.execute(query.order_by(chains.c.name))
    }


Verdict = tuple[str, str]


class VerdictCount:
    """Counts callbacks by verdict, refused ones by reason.

    What was counted once is not read again, and what was evicted since stays counted.
    """

    def __init__(self) -> None:
        self._settled: Counter[Verdict] = Counter()
        self._until = 0
        self._lock = threading.Lock()

    def read(self, connection: Connection, *, now: datetime) -> dict[Verdict, float]:
        """Return the totals."""
        # Two who scrape at once would both add what has settled, and it would stay doubled.
        with self._lock:
            return self._read(connection, now)

    def _read(self, connection: Connection, now: datetime) -> dict[Verdict, float]:
        new = callbacks.c.id > self._until
        until = connection.scalar(
            select(func.max(callbacks.c.id)).where(new, callbacks.c.received_at < now - SETTLED_AFTER)
        )
        if until is not None:
            self._settled += _by_verdict(connection, new & (callbacks.c.id <= until))
            self._until = until
        return dict(self._settled + _by_verdict(connection, callbacks.c.id > self._until))


def _by_verdict(connection: Connection, which: ColumnElement[bool]) -> Counter[Verdict]:
    reason = case((callbacks.c.verdict == "rejected", func.coalesce(callbacks.c.reason, "")), else_="")
    query = select(callbacks.c.verdict, reason.label("why"), func.count()).where(which)
    return Counter({(row[0], row[1]): row[2] for row in connection.execute(query.group_by(callbacks.c.verdict, "why"))})
