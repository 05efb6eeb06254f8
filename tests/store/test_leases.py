"""Leases and firings, on both databases, also with several hands at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, func, select

from relay.store import firings, heartbeats, leases
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import firings as firings_table
from relay.store.rows import heartbeats as heartbeats_table
from tests.builders import NOON

TTL_S = 30


def take(engine: Engine, owner: str, *, after_s: float = 0.0) -> int | None:
    """Try to take the lease `clock`, some seconds after noon."""
    with writing(engine) as connection:
        return leases.take(connection, "clock", owner=owner, now=NOON + timedelta(seconds=after_s), ttl_s=TTL_S)


def record(engine: Engine, job: str, *, after: timedelta = timedelta()) -> bool:
    """Record that a job is rung for a moment after noon."""
    with writing(engine) as connection:
        return firings.record(connection, job, NOON + after, fence=1, now=NOON)


def together(act: Callable[[int], object], hands: int = 6) -> list[object]:
    """Let several threads do a thing in the same moment."""
    barrier = Barrier(hands)

    def one(number: int) -> object:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(hands) as pool:
        return list(pool.map(one, range(hands)))


def test_a_free_lease_is_taken_and_renewed_by_its_holder(engine: Engine) -> None:
    """The fence stays while the holder stays, even when it renews late."""
    assert take(engine, "a") == 1
    assert take(engine, "a", after_s=10) == 1
    assert take(engine, "a", after_s=500) == 1


def test_a_held_lease_is_not_taken_before_its_end(engine: Engine) -> None:
    """To the second: the holder keeps it until it ends, then the fence grows."""
    take(engine, "a")
    assert take(engine, "b", after_s=TTL_S - 1) is None
    assert take(engine, "b", after_s=TTL_S) == 2
    assert take(engine, "a", after_s=TTL_S + 1) is None


def test_leases_of_other_names_are_other_leases(engine: Engine) -> None:
    """Each name has a holder of its own."""
    take(engine, "a")
    with writing(engine) as connection:
        assert leases.take(connection, "other", owner="b", now=NOON, ttl_s=TTL_S) == 1


def test_a_released_lease_is_free_at_once(engine: Engine) -> None:
    """Only its holder can let go of it."""
    take(engine, "a")
    with writing(engine) as connection:
        leases.release(connection, "clock", owner="b", now=NOON)
    assert take(engine, "b") is None
    with writing(engine) as connection:
        leases.release(connection, "clock", owner="a", now=NOON)
    assert take(engine, "b") == 2


def test_of_many_hands_one_takes_the_lease(database_url: str) -> None:
    """The first time, and when it has ended."""
    engine = make_engine(database_url, pool_size=6)
    first = together(lambda number: take(engine, f"first-{number}"))
    second = together(lambda number: take(engine, f"second-{number}", after_s=TTL_S))
    engine.dispose()
    assert sorted(first, key=str) == [1, *[None] * 5]
    assert sorted(second, key=str) == [2, *[None] * 5]


def test_a_moment_is_rung_once(engine: Engine) -> None:
    """The same job for the same moment; other jobs and other moments are their own."""
    assert record(engine, "requeue")
    assert not record(engine, "requeue")
    assert record(engine, "retention")
    assert record(engine, "requeue", after=timedelta(seconds=10))
    with reading(engine) as connection:
        assert firings.is_rung(connection, "requeue", NOON)
        assert not firings.is_rung(connection, "requeue", NOON + timedelta(seconds=20))


def test_of_many_hands_one_rings_a_moment(database_url: str) -> None:
    """The constraint decides, whoever believes to hold the lease."""
    engine = make_engine(database_url, pool_size=6)
    assert sorted(together(lambda _: record(engine, "requeue")), key=str) == [*[False] * 5, True]
    engine.dispose()


def test_old_firings_go_but_the_last_of_each_job(engine: Engine) -> None:
    """A job that rings once a month must not look missed."""
    for days in (1, 2, 3, 40):
        record(engine, "requeue", after=-timedelta(days=days))
    record(engine, "monthly", after=-timedelta(days=30))
    with writing(engine) as connection:
        assert firings.prune(connection, before=NOON - timedelta(days=2, hours=1)) == 2
        left = connection.execute(select(firings_table.c.job).order_by(firings_table.c.job)).scalars().all()
    assert left == ["monthly", "requeue", "requeue"]


def test_a_process_has_one_row_of_life(engine: Engine) -> None:
    """Beats move it; the kind was last seen when its youngest process was."""
    for pid, after_s in ((1, 0), (1, 10), (2, 5)):
        with writing(engine) as connection:
            moment = NOON + timedelta(seconds=after_s)
            heartbeats.beat(connection, kind="clock", host="h", pid=pid, version="1", started_at=NOON, now=moment)
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(heartbeats_table)) == 2
        assert heartbeats.last_seen(connection) == {"clock": NOON + timedelta(seconds=10)}


def test_processes_long_gone_are_forgotten(engine: Engine) -> None:
    """Only those that were last alive before the moment."""
    for pid, after_s in ((1, 0), (2, 60)):
        with writing(engine) as connection:
            moment = NOON + timedelta(seconds=after_s)
            heartbeats.beat(connection, kind="worker", host="h", pid=pid, version="1", started_at=NOON, now=moment)
    with writing(engine) as connection:
        assert heartbeats.prune(connection, before=NOON + timedelta(seconds=30)) == 1
    with reading(engine) as connection:
        assert connection.scalars(select(heartbeats_table.c.pid)).all() == [2]


@pytest.mark.parametrize(("others", "left"), [(1, 1), (0, 1)])
def test_of_those_that_take_leave_the_last_stays_known(engine: Engine, others: int, left: int) -> None:
    """A scale-down leaves nothing behind; a restart shows since when nobody is there."""
    with writing(engine) as connection:
        for pid in range(others + 1):
            heartbeats.beat(connection, kind="worker", host="h", pid=pid, version="1", started_at=NOON, now=NOON)
        heartbeats.beat(connection, kind="clock", host="h", pid=7, version="1", started_at=NOON, now=NOON)
        heartbeats.leave(connection, kind="worker", host="h", pid=0, now=NOON + timedelta(seconds=5))
        assert len([one for one in heartbeats.listed(connection) if one.kind == "worker"]) == left
