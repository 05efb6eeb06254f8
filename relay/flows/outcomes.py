"""Own what an ended attempt causes: the delivery's next state, rest for its endpoint, and the events that someone must see."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.events import operation_body
from relay.core.health import Turn
from relay.core.retries import after_unknown, next_step
from relay.flows.health import Told, announcements, reports_of, send_what_waited, turn_at
from relay.ports import Answer
from relay.store import deliveries, outbox
from relay.store.engine import CLAIM_LOCK, FEED_LOCK, reading, writing
from relay.store.intake import announce, last_sequence
from relay.store.outbox import Claim, Settlement

log = logging.getLogger(__name__)

NewId = Callable[[datetime], str]


def settlement_of(claim: Claim, answer: Answer, *, now: datetime, jitter: float) -> Settlement:
    """Join a claim and its answer to the outcome that is to be written; a status with an error beside it is no success."""
    step = next_step(
        status=None if answer.error else answer.status,
        retry_after_s=answer.retry_after_s,
        failures=claim.failures,
        now=now,
        jitter=jitter,
    )
    return Settlement(
        claim=claim,
        step=step,
        finished_at=now,
        status=answer.status,
        error=answer.error,
        latency_ms=answer.latency_ms,
        answer=answer.body,
    )


def is_loud(one: Settlement) -> bool:
    """Whether the outcome announces an event: a dead letter, or an endpoint that fails, is back or is given up."""
    return _is_buried(one) or turn_at(one) is not None


def settle_quietly(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Write outcomes that announce nothing, and let their endpoints rest or return."""
    if settlements:
        outbox.settle(connection, settlements, reports_of(settlements))


def settle_loudly(engine: Engine, settlements: Sequence[Settlement], *, now: datetime, new_id: NewId) -> None:
    """Write outcomes together with the events they announce, under the feed lock."""
    # Before a recovery is written: whoever is stopped in between finds it still to be told, and does both. Days may have waited:
    # that is no work to be done while the feed is held.
    for endpoint_id in sorted({one.claim.endpoint_id for one in settlements if turn_at(one) is Turn.RECOVERED}):
        send_what_waited(engine, endpoint_id, now=now)
    with writing(engine, lock=FEED_LOCK) as connection:
        # Before they are written: another may have taken the same attempts back, and has announced their end.
        told = [_exhausted(one) for one in settlements if _is_buried(one) and _is_open(connection, one)]
        settle_quietly(connection, settlements)
        told += announcements(connection, settlements, now=now)
        if told:
            announce_all(connection, told, now=now, new_id=new_id)
    for event_type, data in told:
        log.warning("operation_announced", extra={"event_type": event_type, "endpoint_id": data["endpoint_id"]})


def reclaim(engine: Engine, *, now: datetime, new_id: NewId) -> int:
    """Take back the deliveries whose process vanished in mid-attempt; return how many.

    Safe beside any number of others doing the same: each outcome names its
    attempt, and counts only while that attempt is still the open one.
    """
    with reading(engine) as connection:
        abandoned = [_unknown(claim, now) for claim in outbox.expired(connection, now=now)]
    loud = [one for one in abandoned if is_loud(one)]
    if loud:
        settle_loudly(engine, loud, now=now, new_id=new_id)
    quiet = [one for one in abandoned if not is_loud(one)]
    if quiet:
        # An attempt is closed by its place in the table, which holds only while nobody else closes the same one.
        with writing(engine, lock=CLAIM_LOCK) as connection:
            settle_quietly(connection, quiet)
    if abandoned:
        log.warning("attempts_reclaimed", extra={"count": len(abandoned)})
    return len(abandoned)


def _unknown(claim: Claim, now: datetime) -> Settlement:
    step = after_unknown(failures=claim.failures, unknowns=claim.unknowns, now=now, jitter=random.random())  # noqa: S311  # spreads load, guards nothing
    return Settlement(claim=claim, step=step, finished_at=now, error="process_vanished")


def _is_buried(one: Settlement) -> bool:
    """The death of an operational event is not announced: its own announcement could die the same way, for ever."""
    return one.step.state == "dead" and one.claim.event_type.startswith("recharge.")


def _is_open(connection: Connection, one: Settlement) -> bool:
    """Whether the outcome of an attempt counts still, as the outbox says."""
    row = deliveries.find(connection, one.claim.delivery_id)
    return row is not None and row["attempts"] == one.claim.number and row["state"] in ("sending", "pending", "paused")


def _exhausted(one: Settlement) -> Told:
    claim = one.claim
    origin = json.loads(claim.body)["data"]
    return "delivery.exhausted", {
        "delivery_id": claim.delivery_id,
        "endpoint_id": claim.endpoint_id,
        "exhausted_event_id": claim.event_id,
        "exhausted_event_type": claim.event_type,
        "namespace": origin.get("namespace"),
        "orderid": origin.get("orderid"),
        "attempts": claim.number,
        "last_status": one.status,
        "last_error": one.error,
    }


def announce_all(connection: Connection, told: Sequence[Told], *, now: datetime, new_id: NewId) -> None:
    """Announce operational events, each a type and its data; the caller holds the feed lock."""
    first = last_sequence(connection) + 1
    announce(
        connection, [_event(first + place, *one, now=now, new_id=new_id) for place, one in enumerate(told)], now=now
    )


def _event(sequence: int, event_type: str, data: dict[str, Any], *, now: datetime, new_id: NewId) -> dict[str, Any]:
    event_id = new_id(now)
    return {
        "sequence": sequence,
        "id": event_id,
        "type": event_type,
        "source": None,
        "namespace": data.get("namespace"),
        "orderid": data.get("orderid"),
        "order_version": None,
        "amount_micros": None,
        "flags": "",
        "body": operation_body(event_type, event_id=event_id, sequence=sequence, now=now, data=data),
        "created_at": now,
    }
