"""How arrivals become batches."""

from __future__ import annotations

import pytest

from relay.flows.gathering import MOST_IN_A_BATCH, MOST_STEPS, Gathering


class Pauses:
    """Lets a number of arrivals come in each pause, and counts the pauses."""

    def __init__(self, *comers: int) -> None:
        self.comers = list(comers)
        self.count = 0
        self.gathering: Gathering[str] = Gathering(pause=self)

    def __call__(self, seconds: float) -> None:
        self.count += 1
        come(self.gathering, self.comers.pop(0) if self.comers else 0)


def come(gathering: Gathering[str], count: int) -> None:
    """Let so many arrive."""
    for _ in range(count):
        gathering.put("arrival")


def test_a_lone_arrival_never_waits() -> None:
    pauses = Pauses(5)
    for _ in range(3):
        come(pauses.gathering, 1)
        assert pauses.gathering.next_batch() == ["arrival"]
    assert pauses.count == 0


def test_what_queued_meanwhile_is_one_batch() -> None:
    pauses = Pauses()
    come(pauses.gathering, 7)
    assert len(pauses.gathering.next_batch()) == 7
    assert pauses.count == 0


@pytest.mark.parametrize(("size", "is_busy"), [(1, False), (2, True)])
def test_it_is_busy_behind_a_crowd(size: int, *, is_busy: bool) -> None:
    gathering = Pauses().gathering
    come(gathering, size)
    gathering.next_batch()
    assert gathering.busy is is_busy


def test_it_is_busy_while_something_waits() -> None:
    gathering = Pauses().gathering
    come(gathering, 1)
    assert gathering.busy


@pytest.mark.parametrize(
    ("comers", "size", "pauses"),
    [((), 2, 1), ((3,), 5, 2), ((3, 0, 4), 5, 2), ((1,) * 20, 2 + MOST_STEPS, MOST_STEPS)],
    ids=["nobody comes", "some come", "then nobody for a while", "they come for ever"],
)
def test_after_a_crowd_the_next_batch_waits_while_more_come(comers: tuple[int, ...], size: int, pauses: int) -> None:
    waiting = Pauses(*comers)
    come(waiting.gathering, 2)
    waiting.gathering.next_batch()
    come(waiting.gathering, 2)
    assert len(waiting.gathering.next_batch()) == size
    assert waiting.count == pauses


def test_a_batch_has_an_end() -> None:
    pauses = Pauses()
    come(pauses.gathering, MOST_IN_A_BATCH + 3)
    assert len(pauses.gathering.next_batch()) == MOST_IN_A_BATCH
    assert len(pauses.gathering.next_batch()) == 3


def test_when_nobody_comes_in_time_there_is_no_batch() -> None:
    assert Pauses().gathering.next_batch(within_s=0.001) == []
