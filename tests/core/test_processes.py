"""A process is missed when it fell silent and nobody came in its place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from relay.core.processes import lost
from tests.builders import NOON

SPAN = timedelta(seconds=90)


@dataclass(frozen=True)
class Left:
    kind: str
    started_at: datetime
    seen_at: datetime


def left(kind: str, *, started: int, seen: int) -> Left:
    """So many minutes before noon."""
    return Left(kind, NOON - timedelta(minutes=started), NOON - timedelta(minutes=seen))


OLD, SECOND = left("worker", started=60, seen=10), left("worker", started=60, seen=8)
ALIVE, NEW = left("worker", started=60, seen=0), left("worker", started=5, seen=0)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ([ALIVE], []),
        ([OLD], [OLD]),
        ([OLD, ALIVE], [OLD]),
        ([OLD, NEW], []),
        ([OLD, SECOND, NEW], [OLD]),
        ([OLD, left("clock", started=5, seen=0)], [OLD]),
        ([left("worker", started=60, seen=1)], []),
    ],
    ids=["alive", "alone", "beside_one", "replaced", "one_of_two_replaced", "another_kind", "just_seen"],
)
def test_who_is_missed(signs: list[Left], expected: list[Left]) -> None:
    """One that was there all along replaces nobody, one that came later replaces one."""
    assert lost(signs, now=NOON, after=SPAN) == expected
