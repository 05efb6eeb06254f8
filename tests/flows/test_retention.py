"""What is let go of with age, on both databases, and what never is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from relay.flows import retention
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.flows.retention import ATTEMPTS_KEPT, RAW_KEPT, REJECTED_KEPT, retain
from relay.store.engine import reading
from relay.store.rows import attempts, callbacks, deliveries, events
from tests.builders import NOON, a_callback, a_source
from tests.fakes import FakeMemory, numbered_ids
from tests.rows import a_delivery, a_stored_callback, add, an_endpoint, an_event

DAY = timedelta(days=1)


def commit(engine: Engine, *, at: datetime = NOON, **fields: Any) -> str:
    """Let a callback through the door; return what became of it."""
    raw = {"source": "crossing", "received_at": at, "body": b"orderid=o1&sign=s", "query": "", "headers": '{"a": "b"}'}
    arrival = Arrival(raw=raw, callback=a_callback(**{"orderid": "o1"} | fields), source=a_source())
    Committer(engine, FakeMemory(), clock=lambda: at, new_id=numbered_ids(str(at.year))).commit([arrival])
    return str(arrival.error.code if arrival.error else arrival.verdict)


def rows(engine: Engine, table: Any) -> Sequence[Any]:
    """Everything a table holds, in order."""
    with reading(engine) as connection:
        return connection.execute(select(table).order_by(*table.primary_key.columns)).all()


def test_a_resend_after_years_is_still_a_duplicate(engine: Engine) -> None:
    """The bytes are gone; who it was, what it said and its signature are not."""
    commit(engine)
    retain(engine, now=NOON + RAW_KEPT + DAY)
    (kept,) = rows(engine, callbacks)
    assert (kept.body, kept.query, kept.headers) == (None, None, "{}")
    assert (kept.orderid, kept.amount_micros, kept.signature) == ("o1", 3_000_000, a_callback().signature)
    later = NOON + timedelta(days=3_000)
    assert commit(engine, at=later) == "duplicate"
    assert commit(engine, at=later, orderid="o2") == "forgery"
    assert [one.type for one in rows(engine, events)] == ["recharge.succeeded"]


def test_what_was_being_sent_as_its_endpoint_was_deleted_does_not_wait_for_ever(engine: Engine) -> None:
    """Its exchange failed afterwards; nobody will try it again, and its attempts would be kept for ever."""
    endpoint, other = an_endpoint(engine, deleted_at=NOON, state="disabled"), an_endpoint(engine)
    an_event(engine, 1)
    for one in (endpoint, other):
        a_delivery(engine, 1, one, state="pending", attempts=1, due_at=NOON + DAY)
    retain(engine, now=NOON)
    assert [(one.state, one.last_error) for one in rows(engine, deliveries)] == [
        ("dead", "endpoint_deleted"),
        ("pending", None),
    ]


def test_what_is_young_keeps_its_bytes(engine: Engine) -> None:
    """To the day."""
    commit(engine)
    retain(engine, now=NOON + RAW_KEPT - DAY)
    (kept,) = rows(engine, callbacks)
    assert (kept.body, kept.headers) == (b"orderid=o1&sign=s", '{"a": "b"}')


def test_refused_requests_go_after_a_while(engine: Engine) -> None:
    """They bear no key."""
    old, new = (a_stored_callback(engine, received_at=NOON + days * DAY) for days in (0, 60))
    retain(engine, now=NOON + REJECTED_KEPT + DAY)
    assert [one.id for one in rows(engine, callbacks)] == [new]
    assert old < new


def test_exchanges_of_ended_deliveries_go_and_what_they_came_to_stays(engine: Engine) -> None:
    """Who still waits keeps them all, and so does what was sent again lately."""
    endpoint = an_endpoint(engine)
    now = NOON + ATTEMPTS_KEPT + 2 * DAY
    for sequence, state in enumerate(("delivered", "dead", "paused", "delivered"), start=1):
        an_event(engine, sequence)
        number = a_delivery(engine, sequence, endpoint, state=state, attempts=2, last_status=500, created_at=NOON)
        add(engine, attempts, delivery_id=number, number=1, started_at=NOON, outcome="failed", answer="no")
        again = now - DAY if sequence == 4 else NOON
        add(engine, attempts, delivery_id=number, number=2, started_at=again, outcome="failed", answer="no")
    an_event(engine, 5)
    a_delivery(engine, 5, endpoint, created_at=now)
    retain(engine, now=now)
    assert [(one.delivery_id, one.number) for one in rows(engine, attempts)] == [(3, 1), (3, 2), (4, 2)]
    assert [(one.attempts, one.last_status) for one in rows(engine, deliveries)] == [(2, 500)] * 4 + [(0, None)]


def test_a_run_takes_little_at_a_time_and_the_next_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it long, and what a run leaves is not forgotten."""
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    for number in range(1, 8):
        a_stored_callback(
            engine, verdict="accepted", orderid=f"o{number}", namespace="crossing", signature=f"s{number}"
        )
    left = []
    for _ in range(3):
        retain(engine, now=NOON + RAW_KEPT + DAY)
        left.append(sum(one.body is not None for one in rows(engine, callbacks)))
    assert left == [3, 0, 0]
