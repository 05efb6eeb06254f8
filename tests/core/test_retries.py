"""The timetable of a delivery."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.retries import SCHEDULE_S, Step, after_unknown, next_step
from tests.builders import NOON


def step(status: int | None = 500, *, failures: int = 0, retry_after_s: int | None = None, jitter: float = 0.0) -> Step:
    """The step after an answer."""
    return next_step(status=status, retry_after_s=retry_after_s, failures=failures, now=NOON, jitter=jitter)


def waited(after: Step) -> float:
    """Seconds until the delivery is due again."""
    assert after.due_at is not None
    return (after.due_at - NOON).total_seconds()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    """Subscribers answer what suits them."""
    assert step(status).state == "delivered"


@pytest.mark.parametrize("status", [None, 199, 300, 301, 304, 400, 401, 404, 500])
def test_anything_else_is_tried_again(status: int | None) -> None:
    """A redirect is not followed and no client error is final: subscribers deploy fixes."""
    assert (step(status).state, step(status).failures) == ("pending", 1)


def test_ten_attempts_spread_over_75_hours_and_35_minutes() -> None:
    """The schedule of Standard Webhooks, to the second, without jitter."""
    waits = [waited(step(failures=failures)) for failures in range(9)]
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert sum(waits) == timedelta(hours=75, minutes=35, seconds=5).total_seconds()
    assert len(SCHEDULE_S) == 10


def test_the_tenth_failure_is_dead() -> None:
    """A dead delivery waits for a person, not for a clock."""
    last = step(failures=9)
    assert (last.state, last.due_at, last.failures) == ("dead", None, 10)


def test_jitter_stretches_a_wait_by_a_tenth_at_most() -> None:
    """What failed together does not come back together, and never early."""
    assert waited(step(failures=1, jitter=0.0)) == 300
    assert waited(step(failures=1, jitter=1.0)) == 330


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_overloaded_endpoint_rests_as_long_as_it_asks(status: int) -> None:
    """Its other deliveries wait too, and this one no less than its schedule."""
    asked = step(status, retry_after_s=60)
    assert asked.rest_until == NOON + timedelta(seconds=60)
    assert waited(asked) == 60
    assert waited(step(status, retry_after_s=1)) == 5
    assert step(status).rest_until is not None


def test_a_plain_failure_lets_the_endpoint_work_on() -> None:
    """One bad event must not slow the others."""
    assert step(500).rest_until is None
    assert step(None).rest_until is None


def test_gone_rests_the_endpoint_for_ten_minutes() -> None:
    """The second 410 after that disables it; the step only names it."""
    gone = step(410)
    assert gone.is_gone
    assert gone.rest_until == NOON + timedelta(minutes=10)


def test_a_vanished_attempt_is_repeated_at_once_and_advances_nothing() -> None:
    """The subscriber may have it or not; the id lets it tell."""
    again = after_unknown(failures=3, unknowns=0, now=NOON, jitter=0.5)
    assert (again.state, again.failures, again.unknowns, again.due_at) == ("pending", 3, 1, NOON)


def test_three_vanished_attempts_in_a_row_count_as_one_failure() -> None:
    """Something about this delivery may be what kills."""
    third = after_unknown(failures=3, unknowns=2, now=NOON, jitter=0.0)
    assert (third.failures, third.unknowns) == (4, 0)
    assert third.due_at == NOON + timedelta(seconds=7200)
    assert after_unknown(failures=9, unknowns=2, now=NOON, jitter=0.0).state == "dead"
