"""An endpoint that fails is probed, announced, given up after days, and gets what waited when it is back; on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from relay.core.retries import after_unknown
from relay.errors import Unavailable
from relay.flows import endpoints as flow
from relay.flows.delivery import LEASE_S
from relay.flows.health import UNREADABLE_SECRET
from relay.flows.outcomes import is_loud, settle_loudly, settle_quietly, settlement_of
from relay.ports import Answer
from relay.store import health as store
from relay.store import outbox
from relay.store.engine import CLAIM_LOCK, reading, writing
from relay.store.outbox import Claim, Settlement
from relay.store.rows import deliveries, endpoints, events
from tests.builders import NOON
from tests.fakes import numbered_ids, round_trips_of
from tests.rows import a_person, an_endpoint

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
new_id = numbered_ids("op")


def a_backlog(engine: Engine, count: int, **columns: Any) -> str:
    """An endpoint for which so many deliveries are due at noon; return its id."""
    endpoint = an_endpoint(engine, **columns)
    with writing(engine) as connection:
        usual = {"type": "recharge.pending", "flags": "", "body": '{"data":{}}', "created_at": NOON}
        numbers = range(1, count + 1)
        connection.execute(insert(events), [usual | {"sequence": n, "id": f"evt_{n}"} for n in numbers])
        row = {"endpoint_id": endpoint, "state": "pending", "due_at": NOON, "created_at": NOON}
        row |= {"attempts": 0, "failures": 0, "unknowns": 0}
        connection.execute(insert(deliveries), [row | {"event_sequence": n} for n in numbers])
    return endpoint


def claim(engine: Engine, at: datetime, room: int = 500) -> list[Claim]:
    """Claim as a drainer does, at a moment."""
    with writing(engine, lock=CLAIM_LOCK) as connection:
        return outbox.claim(connection, owner="me", room=room, now=at, lease_s=LEASE_S)


def settle(engine: Engine, ended: Sequence[Settlement], at: datetime) -> None:
    """Write outcomes as a drainer does."""
    loud = [one for one in ended if is_loud(one)]
    if loud:
        settle_loudly(engine, loud, now=at, new_id=new_id)
    with writing(engine, lock=CLAIM_LOCK) as connection:
        settle_quietly(connection, [one for one in ended if not is_loud(one)])


def tick(engine: Engine, at: datetime, status: int | None = 500, *, room: int = 500, error: str | None = None) -> int:
    """Claim what may be claimed, and let it be answered at once; return how much that was."""
    answer = Answer(status=status, error=error, latency_ms=1)
    ended = [settlement_of(one, answer, now=at, jitter=0) for one in claim(engine, at, room)]
    settle(engine, ended, at)
    return len(ended)


def the_endpoint(engine: Engine) -> Any:
    """Its row."""
    with reading(engine) as connection:
        return connection.execute(select(endpoints)).one()


def told(engine: Engine) -> list[dict[str, Any]]:
    """The operational events, in order."""
    with reading(engine) as connection:
        query = select(events.c.body).where(events.c.type.not_like("recharge.%")).order_by(events.c.sequence)
        return [json.loads(body) for body in connection.scalars(query)]


def types(engine: Engine) -> list[str]:
    """What was announced."""
    return [one["type"] for one in told(engine)]


def failing(engine: Engine, since: datetime = NOON, **columns: Any) -> None:
    """Let the endpoint have failed since a moment, and be due for a probe."""
    failing = {"failures_in_row": 40, "failing_since": since, "failed_at": since, "not_before": None}
    with writing(engine) as connection:
        connection.execute(update(endpoints).values(**failing | columns))


def test_after_ten_failures_one_delivery_at_a_time_is_tried(engine: Engine) -> None:
    """What waits behind keeps its attempts, and the endpoint is left alone between two probes."""
    a_backlog(engine, 50, concurrency=10)
    assert tick(engine, NOON) == 10
    assert tick(engine, NOON + timedelta(seconds=4)) == 0
    assert tick(engine, NOON + timedelta(seconds=5)) == 1
    assert tick(engine, NOON + timedelta(seconds=6)) == 0
    row = the_endpoint(engine)
    assert (row.failures_in_row, row.failing_since, row.state) == (11, NOON, "enabled")


def test_nine_failures_are_no_reason_to_hold_back(engine: Engine) -> None:
    """Nor is the tenth failure among a thousand successes: one success ends the row."""
    a_backlog(engine, 50, concurrency=9)
    assert tick(engine, NOON) == 9
    assert tick(engine, NOON, 204) == 9
    row = the_endpoint(engine)
    assert (row.failures_in_row, row.failing_since, row.not_before) == (0, None, None)
    assert tick(engine, NOON) == 9
    assert tick(engine, NOON) == 9, "the row began anew, and the ninth of it is not the tenth"


def test_a_probe_that_is_accepted_lets_everything_flow(engine: Engine) -> None:
    """At once, and at full width."""
    a_backlog(engine, 50, concurrency=10)
    tick(engine, NOON)
    assert tick(engine, NOON + MINUTE, 204) == 1
    assert tick(engine, NOON + MINUTE, 204) == 10
    assert types(engine) == []


def test_a_burst_is_announced_to_nobody_and_disables_nothing(engine: Engine) -> None:
    """However many exchanges a restart of the subscriber breaks."""
    a_backlog(engine, 300, concurrency=256)
    tick(engine, NOON)
    tick(engine, NOON + timedelta(seconds=50))
    assert types(engine) == []
    assert the_endpoint(engine).failures_in_row == 257


def test_a_minute_of_failure_is_announced_once_and_so_is_the_recovery(engine: Engine) -> None:
    """With what somebody needs who is called by it; what was to be tried hours later is due at once."""
    endpoint = a_backlog(engine, 20, concurrency=10)
    tick(engine, NOON)
    with writing(engine) as connection:
        connection.execute(update(deliveries).where(deliveries.c.failures > 0).values(due_at=NOON + 5 * HOUR))
    for seconds in (60, 70, 80):
        tick(engine, NOON + timedelta(seconds=seconds), None, error="connection_refused")
    (event,) = told(engine)
    assert event["type"] == "endpoint.failing"
    data = {name: value for name, value in event["data"].items() if name not in ("event_id", "sequence")}
    assert data == {
        "endpoint_id": endpoint,
        "failing_since": "2026-11-23T12:00:00.000Z",
        "failures_in_row": 11,
        "last_status": None,
        "last_error": "connection_refused",
    }
    back = NOON + 2 * MINUTE
    assert tick(engine, back, 204) == 1
    assert types(engine) == ["endpoint.failing", "endpoint.recovered"]
    assert tick(engine, back, 204) + tick(engine, back, 204) == 19
    with reading(engine) as connection:
        assert set(connection.scalars(select(deliveries.c.state))) == {"delivered"}


def test_what_waited_is_sent_also_when_the_first_word_of_a_recovery_is_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process, or the database, may be gone between the two; the next success does both."""
    a_backlog(engine, 3)
    failing(engine, NOON - HOUR, failing_told_at=NOON - HOUR)
    with writing(engine) as connection:
        connection.execute(update(deliveries).where(deliveries.c.event_sequence > 1).values(due_at=NOON + 5 * HOUR))
    (probe,) = claim(engine, NOON)
    ended = [settlement_of(probe, Answer(status=204, error=None, latency_ms=1), now=NOON, jitter=0)]
    with monkeypatch.context() as away:
        away.setattr(store, "bring_forward", _away)
        with pytest.raises(Unavailable):
            settle(engine, ended, NOON)
    settle(engine, ended, NOON)
    assert types(engine) == ["endpoint.recovered"]
    assert len(claim(engine, NOON)) == 2


def test_five_days_of_nothing_but_failure_disable_an_endpoint(engine: Engine) -> None:
    """It misses nothing: what waits, waits, and goes out when a person has enabled it."""
    endpoint = a_backlog(engine, 5)
    failing(engine, NOON - 5 * DAY, failed_at=NOON - HOUR, failing_told_at=NOON - 4 * DAY)
    tick(engine, NOON)
    assert [(one["type"], one["data"]["reason"]) for one in told(engine)] == [
        ("endpoint.disabled", "it failed for 5 days on end")
    ]
    row = the_endpoint(engine)
    assert (row.state, row.state_reason) == ("disabled", "failing")
    enabled = flow.enable(_office(engine), endpoint, skip=False, actor=a_person(engine, "ops", "admin"), now=NOON)
    assert (enabled.waited, enabled.endpoint["failing_since"], enabled.endpoint["failures_in_row"]) == (5, None, 0)
    assert tick(engine, NOON, 204) == 5
    assert types(engine)[-1] == "endpoint.recovered"


def test_what_was_under_way_as_an_endpoint_was_paused_is_sent_when_it_is_enabled(engine: Engine) -> None:
    """Its exchange failed afterwards, and its next attempt may lie a day ahead: it waited like the others."""
    endpoint, office, actor = a_backlog(engine, 2), _office(engine), a_person(engine, "ops", "admin")
    (under_way,) = claim(engine, NOON, room=1)
    flow.stop(office, endpoint, "paused", actor=actor, now=NOON)
    failed = Answer(status=500, error=None, latency_ms=1)
    settle(engine, [settlement_of(replace(under_way, failures=8), failed, now=NOON, jitter=0)], NOON)
    assert flow.enable(office, endpoint, skip=False, actor=actor, now=NOON).waited == 2
    assert tick(engine, NOON, 204) == 2


def test_failures_that_lie_days_apart_are_no_row(engine: Engine) -> None:
    """The relay may have been off between them: that days passed proves nothing."""
    a_backlog(engine, 5)
    failing(engine, NOON - 9 * DAY, failed_at=NOON - 2 * DAY)
    tick(engine, NOON, room=1)
    row = the_endpoint(engine)
    assert (row.state, row.failing_since, row.failures_in_row) == ("enabled", NOON, 1)
    assert types(engine) == []


def test_what_lies_with_us_is_not_held_against_an_endpoint(engine: Engine) -> None:
    """A secret that we cannot read, a process of ours that vanished."""
    a_backlog(engine, 40)
    assert tick(engine, NOON, None, error=UNREADABLE_SECRET, room=20) == 20
    vanished = claim(engine, NOON)
    step = after_unknown(failures=0, unknowns=2, now=NOON, jitter=0)
    settle(engine, [Settlement(claim=one, step=step, finished_at=NOON) for one in vanished], NOON)
    assert (len(vanished), the_endpoint(engine).failures_in_row) == (20, 0)


def test_what_lies_with_us_begins_no_row_of_failures(engine: Engine) -> None:
    """Or an endpoint would be given up with its tenth failure, for the days on which we could not sign."""
    endpoint = a_backlog(engine, 60, concurrency=10)
    failing(engine, NOON - DAY, failing_told_at=NOON - DAY)
    actor = a_person(engine, "ops", "admin")
    flow.change(_office(engine), endpoint, {"url": "https://b.example/"}, actor=actor, now=NOON)
    tick(engine, NOON, None, error=UNREADABLE_SECRET, room=1)
    row = the_endpoint(engine)
    assert (row.failures_in_row, row.failing_since) == (0, None)


def test_another_url_is_judged_by_its_own_answers(engine: Engine) -> None:
    """Who moves a service that was down for days is not made to wait."""
    endpoint = a_backlog(engine, 30)
    failing(engine, NOON - 4 * DAY, not_before=NOON + HOUR)
    wish = {"url": "https://new.example/"}
    flow.change(_office(engine), endpoint, wish, actor=a_person(engine, "ops", "admin"), now=NOON)
    assert tick(engine, NOON, 204) == 30


def test_an_endpoint_that_fails_costs_no_exchange_more_than_one_that_does_not(engine: Engine) -> None:
    """What its answers say of it goes along with the outcomes."""
    a_backlog(engine, 60, concurrency=20)
    counts = []
    for status in (204, 500):
        claims = claim(engine, NOON + DAY)
        answer = Answer(status=status, error=None, latency_ms=1)
        ended = [settlement_of(one, answer, now=NOON + DAY, jitter=0) for one in claims]
        with round_trips_of(engine) as sent:
            settle(engine, ended, NOON + DAY)
        counts.append(len([one for one in sent if "together" in one or "UPDATE" in one]))
    postgres = engine.dialect.name == "postgresql"
    assert counts == ([1, 1] if postgres else [2, 3])


def _away(*_: Any, **__: Any) -> int:
    raise Unavailable("the database does not answer")


def _office(engine: Engine) -> flow.Office:
    kept: Callable[[str], str] = str
    return flow.Office(
        engine=engine, wrap=kept, random=bytes, new_event_id=new_id, allow_cidrs=(), sources=frozenset({"crossing"})
    )
