"""The business day: half-open, without holes, in a zone whose clocks may change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.days import ONE, Calendar, read_day, spoken

ZONES = (
    "UTC",
    "Asia/Hong_Kong",
    "Europe/Berlin",
    "America/New_York",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/Santiago",
)


@pytest.mark.parametrize(
    ("zone", "cutoff", "day", "start", "hours"),
    [
        ("UTC", "00:00", "2026-11-23", "2026-11-23T00:00", 24),
        ("Asia/Hong_Kong", "00:00", "2026-11-23", "2026-11-22T16:00", 24),
        ("Asia/Hong_Kong", "17:00", "2026-11-23", "2026-11-23T09:00", 24),
        ("Europe/Berlin", "00:00", "2026-03-29", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "00:00", "2026-10-25", "2026-10-24T22:00", 25),
        ("Europe/Berlin", "02:30", "2026-03-29", "2026-03-29T01:30", 23),
        ("America/Santiago", "00:00", "2026-09-06", "2026-09-06T04:00", 23),
    ],
)
def test_a_day_lasts_from_one_cut_off_to_the_next(zone: str, cutoff: str, day: str, start: str, hours: int) -> None:
    """Also where a clock skips or repeats an hour, and where it skips the cut-off itself."""
    found = Calendar(zone, time.fromisoformat(cutoff)).day(date.fromisoformat(day))
    assert found.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert found.end - found.start == timedelta(hours=hours)
    assert found.has(found.start)
    assert not found.has(found.end)


@given(
    zone=st.sampled_from(ZONES),
    cutoff=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    moment=st.integers(1_100_000_000, 2_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
)
def test_every_moment_has_one_day_and_days_leave_no_hole(zone: str, cutoff: time, moment: datetime) -> None:
    """Whatever the zone and the cut-off."""
    calendar = Calendar(zone, cutoff)
    day = calendar.day_at(moment)
    assert day.has(moment)
    assert calendar.day(day.date + ONE).start == day.end
    assert calendar.day(day.date - ONE).end == day.start


@pytest.mark.parametrize(
    "text", ["", "2026-11-31", "26-11-23", "2026-W47-1", "20261123", "1999-12-31", "3000-01-01", "monday"]
)
def test_a_day_is_named_in_one_way(text: str) -> None:
    """A path that names none is no day."""
    with pytest.raises(ValueError, match=r".*"):
        read_day(text)
    assert read_day("2026-11-23") == date(2026, 11, 23)


def test_days_are_called_as_people_call_them() -> None:
    """The year only where it is another."""
    today = date(2026, 11, 24)
    assert [spoken(today - timedelta(days=ago), today) for ago in (0, 1, 2, 400)] == [
        "Today",
        "Yesterday",
        "22 November",
        "20 October 2025",
    ]
