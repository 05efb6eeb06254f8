"""When an endpoint counts as failing, and how soon it is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from relay.core.health import Turn, probe_at, turn_of
from tests.builders import NOON


def turn(*, delivered: bool = False, failures: int = 10, ago: timedelta | None, is_told: bool = False) -> Turn | None:
    """What an answer turns at noon at an endpoint that has failed since a while before."""
    since: datetime | None = None if ago is None else NOON - ago
    return turn_of(delivered=delivered, failures_in_row=failures, failing_since=since, is_told=is_told, now=NOON)


def test_an_endpoint_fails_after_a_minute_and_ten_failures_of_which_neither_is_enough() -> None:
    """A restart is short, and a subscriber of one event an hour may miss one."""
    assert turn(ago=timedelta(minutes=1)) is Turn.FAILING
    assert turn(ago=timedelta(seconds=59)) is None
    assert turn(ago=timedelta(hours=3), failures=9) is None
    assert turn(ago=None, failures=0) is None


def test_what_was_told_is_not_told_again() -> None:
    """A pager rings once."""
    assert turn(ago=timedelta(hours=1), is_told=True) is None


def test_only_a_success_after_the_announcement_is_a_recovery() -> None:
    """Nobody has to hear that what nobody heard of is over."""
    assert turn(delivered=True, ago=timedelta(hours=1), is_told=True) is Turn.RECOVERED
    assert turn(delivered=True, ago=timedelta(hours=1)) is None


def test_five_days_of_nothing_but_failure_give_an_endpoint_up() -> None:
    """Whether that was announced before or not."""
    assert turn(ago=timedelta(days=5), is_told=True) is Turn.GIVEN_UP
    assert turn(ago=timedelta(days=5)) is Turn.GIVEN_UP
    assert turn(ago=timedelta(days=5) - timedelta(seconds=1), is_told=True) is None


@pytest.mark.parametrize(("failed_for_s", "wait_s"), [(0, 5), (50, 5), (200, 20), (600, 60), (86_400, 60)])
def test_the_longer_it_has_failed_the_later_it_is_tried_but_within_a_minute(failed_for_s: int, wait_s: int) -> None:
    """So that one that is back is known to be within a minute."""
    assert probe_at(failing_since=NOON - timedelta(seconds=failed_for_s), now=NOON) == NOON + timedelta(seconds=wait_s)
    assert probe_at(failing_since=None, now=NOON) == NOON + timedelta(seconds=5)
