"""Own whose turn it is at an endpoint: how many deliveries its rate lets through, and which wait behind an earlier one.

An endpoint without a rate and without `ordered` costs no statement here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from relay.store.bulk import given, with_ids

# A rate is a bucket: it holds one delivery, and as many as this time brings.
_BURST_US = 250_000
# What lies further ahead than clocks may be apart was written by one that was wrong, and binds nobody.
_SKEW_US = 10_000_000
# What waits behind a delivery that is being sent is looked at again after this, should nobody free it before.
_SOON = timedelta(seconds=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros_of(now: datetime) -> int:
    """Return a moment as whole microseconds, in which both databases can reckon."""
    return (now - _EPOCH) // timedelta(microseconds=1)


def spend(connection: Connection, taken: Mapping[str, tuple[int, int]], *, now: datetime) -> None:
    """Note how many deliveries, and at which rate, endpoints were just given; the caller holds the claim lock."""
    moment = micros_of(now)
    rows = [
        {
            "id": id_,
            "start": moment - _bucket_us(rate),
            "latest": moment + _SKEW_US,
            # Rounded up, or a rate that does not divide a million would be exceeded.
            "cost": -(-count * 1_000_000 // rate),
        }
        for id_, (rate, count) in sorted(taken.items())
    ]
    connection.execute(_SPEND, rows)


def postpone(connection: Connection, ids: Sequence[int], *, now: datetime) -> None:
    """Let deliveries wait until what they wait for is due itself, so that nobody looks at them in vain meanwhile."""
    connection.execute(_POSTPONE.on(connection), given(ids, until=now + _SOON))


def follow(connection: Connection, ended: Iterable[int], *, now: datetime) -> None:
    """Let what waited behind these deliveries, which are delivered or dead, be due at once."""
    connection.execute(_FOLLOW.on(connection), given(list(ended), now=now))


def _bucket_us(rate: int) -> int:
    return 1_000_000 // rate + _BURST_US


_BUCKET = f"1000000 / p.rate + {_BURST_US}"
# How many deliveries the rate of endpoint p lets through at :now_us, however many slots are free.
ALLOWED = f"""
    CASE WHEN p.rate IS NULL THEN p.concurrency ELSE p.rate * coalesce((
        SELECT :now_us - s.until_us FROM endpoint_paces s WHERE s.endpoint_id = p.id
            AND s.until_us BETWEEN :now_us - ({_BUCKET}) AND :now_us + {_SKEW_US}), {_BUCKET}) / 1000000 END
"""
_SPEND = text(
    """
    INSERT INTO endpoint_paces (endpoint_id, until_us) VALUES (:id, CAST(:start AS bigint) + :cost)
    ON CONFLICT (endpoint_id) DO UPDATE SET until_us = :cost + CASE
        WHEN endpoint_paces.until_us BETWEEN :start AND :latest THEN endpoint_paces.until_us ELSE :start END
    """
)


def _before(delivery: str) -> str:
    """The open deliveries o, to the same endpoint, of earlier events of the same order."""
    return f"""
        events mine
        JOIN events e ON e.namespace = mine.namespace AND e.orderid = mine.orderid AND e.sequence < mine.sequence
        JOIN deliveries o ON o.event_sequence = e.sequence AND o.endpoint_id = {delivery}.endpoint_id
            AND o.state NOT IN ('delivered', 'dead')
        WHERE mine.sequence = {delivery}.event_sequence
    """


# Whether delivery d has to wait, where its endpoint is ordered.
WAITS = f"EXISTS (SELECT 1 FROM {_before('d')})"
_POSTPONE = with_ids(
    f"""
    UPDATE deliveries SET due_at = coalesce((SELECT max(o.due_at) FROM {_before("deliveries")} AND o.due_at > :until), :until)
    WHERE state = 'pending' AND id IN (SELECT id FROM {{rows}} AS g)
    """
)
# One that has failed by itself keeps its own schedule.
_FOLLOW = with_ids(
    """
    UPDATE deliveries SET due_at = :now WHERE state = 'pending' AND failures = 0 AND due_at > :now AND id IN (
        SELECT later.id FROM {rows} AS g
        JOIN deliveries d ON d.id = g.id
        JOIN events mine ON mine.sequence = d.event_sequence
        JOIN events e ON e.namespace = mine.namespace AND e.orderid = mine.orderid AND e.sequence > mine.sequence
        JOIN deliveries later ON later.event_sequence = e.sequence AND later.endpoint_id = d.endpoint_id)
    """
)
