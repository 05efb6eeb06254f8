"""The clock's ringing, on both databases: each moment once, whatever is away and whoever else rings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Lock

import pytest
from sqlalchemy import Engine, select

from relay.errors import Unavailable
from relay.flows.ring import LEASE_S, Ringer
from relay.store.engine import make_engine, reading
from relay.store.rows import firings
from tests.builders import NOON
from tests.fakes import round_trips_of

JOB = "jobs.requeue.run"
LATER = NOON + timedelta(seconds=LEASE_S)


class Queue:
    """A queue that takes jobs, unless it is away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.taken: list[str] = []
        self._lock = Lock()

    def put(self, job: str) -> None:
        if self.is_away:
            raise Unavailable
        with self._lock:
            self.taken.append(job)


def fences(engine: Engine) -> list[int]:
    """The fence of every firing, in the order of their moments."""
    with reading(engine) as connection:
        return list(connection.scalars(select(firings.c.fence).order_by(firings.c.scheduled_for)))


def test_a_moment_is_rung_once_by_one_clock(engine: Engine) -> None:
    """The second time there is nothing left to do, and nothing is written."""
    queue = Queue()
    clock = Ringer(engine, queue.put, "a")
    assert clock.ring(JOB, NOON, now=NOON)
    with round_trips_of(engine) as sent:
        assert not clock.ring(JOB, NOON, now=NOON)
    assert len(sent) == 1
    assert queue.taken == [JOB]


def test_what_the_queue_did_not_take_is_rung_later(engine: Engine) -> None:
    """Nothing of the attempt stays behind."""
    queue = Queue(is_away=True)
    clock = Ringer(engine, queue.put, "a")
    with pytest.raises(Unavailable):
        clock.ring(JOB, NOON, now=NOON)
    assert fences(engine) == []
    queue.is_away = False
    assert clock.ring(JOB, NOON, now=NOON)


def test_while_one_clock_rings_the_others_are_silent(engine: Engine) -> None:
    """They take over when its lease has ended, and the fence tells them apart."""
    queue = Queue()
    first, second = Ringer(engine, queue.put, "a"), Ringer(engine, queue.put, "b")
    first.ring(JOB, NOON, now=NOON)
    between = NOON + timedelta(seconds=10)
    assert not second.ring(JOB, between, now=between)
    assert second.ring(JOB, between, now=LATER)
    assert fences(engine) == [1, 2]


def test_what_was_rung_by_a_clock_that_ran_ahead_is_rung_when_it_comes(engine: Engine) -> None:
    """Its hour was set right; a moment that lies within what clocks may be apart stays rung."""
    queue = Queue()
    clock = Ringer(engine, queue.put, "a")
    soon, hour_ahead = NOON + timedelta(seconds=10), NOON + timedelta(hours=1)
    for moment in (NOON, soon, hour_ahead):
        clock.ring(JOB, moment, now=moment)
    clock.set_right(now=NOON)
    assert [clock.ring(JOB, moment, now=moment) for moment in (NOON, soon, hour_ahead)] == [False, False, True]


def test_a_clock_that_leaves_lets_another_ring_at_once(engine: Engine) -> None:
    """At each deploy two clocks overlap."""
    queue = Queue()
    first, second = Ringer(engine, queue.put, "a"), Ringer(engine, queue.put, "b")
    first.ring(JOB, NOON, now=NOON)
    first.leave(now=NOON)
    between = NOON + timedelta(seconds=10)
    assert second.ring(JOB, between, now=between)


def test_clocks_that_all_believe_to_be_first_ring_once(database_url: str) -> None:
    """Six at once, and one job on the queue."""
    engine = make_engine(database_url, pool_size=6)
    queue, barrier = Queue(), Barrier(6)

    def one(number: int) -> bool:
        barrier.wait()
        return Ringer(engine, queue.put, f"clock-{number}").ring(JOB, NOON, now=NOON)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(one, range(6))) == [*[False] * 5, True]
    engine.dispose()
    assert queue.taken == [JOB]
