"""When jobs are rung."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta

import pytest

from jobs.timetable import TIMETABLE, Entry, last_moment
from relay.edge.rq import JOB_NAME
from tests.builders import NOON


def entry(job: str) -> Entry:
    """The entry of a job."""
    return next(one for one in TIMETABLE if one.job == job)


@pytest.mark.parametrize(
    ("job", "at", "last"),
    [
        ("jobs.requeue.run", "12:00:00", "12:00:00"),
        ("jobs.requeue.run", "12:00:09.999999", "12:00:00"),
        ("jobs.requeue.run", "12:00:10", "12:00:10"),
        ("jobs.retention.run", "12:06:59", "11:07:00"),
        ("jobs.retention.run", "12:07:00", "12:07:00"),
        ("jobs.retention.run", "00:00:00", "23:07:00"),
    ],
)
def test_the_last_moment_is_at_or_before_now(job: str, at: str, last: str) -> None:
    """To the microsecond, and across midnight."""
    moment = datetime.fromisoformat(f"2026-11-23T{at}+00:00")
    expected = datetime.fromisoformat(f"2026-11-23T{last}+00:00")
    assert last_moment(entry(job), moment) == (expected if expected <= moment else expected - timedelta(days=1))


@pytest.mark.parametrize("one", TIMETABLE, ids=lambda one: one.job)
def test_no_two_moments_are_further_apart_than_said(one: Entry) -> None:
    """Else a missed moment would not be found."""
    moment = NOON
    for _ in range(500):
        following = one.moments.get_next_fire_time(moment, moment + timedelta(microseconds=1))
        assert following - moment <= one.longest
        moment = following
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("one", TIMETABLE, ids=lambda one: one.job)
def test_every_job_of_the_timetable_exists(one: Entry) -> None:
    """A dotted name leads to an entry point, and to one that workers would run."""
    assert JOB_NAME.fullmatch(one.job)
    module, _, name = one.job.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
