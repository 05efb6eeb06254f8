"""The clock as its platform runs it: real processes, two of them at each deploy."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

import pytest
from sqlalchemy import Engine, select

from jobs.clock import keep_in_step, scheduler_of
from jobs.timetable import TIMETABLE, last_moment
from relay.bootstrap import now
from relay.flows.ring import Ringer
from relay.store import firings, heartbeats
from relay.store.engine import reading, writing
from relay.store.rows import firings as firings_table
from tests.jobs.conftest import House
from tests.system import eventually

RETENTION = next(entry for entry in TIMETABLE if entry.job == "jobs.retention.run")


@contextmanager
def taking_jobs(house: House) -> Iterator[list[str]]:
    """Take every job off the queue as soon as it is put there, as a quick worker would."""
    taken: list[str] = []
    over = threading.Event()

    def take() -> None:
        with house.redis as client:
            while not over.is_set():
                found = client.blpop(["rq:queue:work"], timeout=0.2)
                if found:
                    taken.append(found[1].decode().split("-")[0])

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()


def rung(house: House) -> Counter[str]:
    """How many moments of each job were rung."""
    with reading(house.engine) as connection:
        return Counter(job.split(".")[1] for job in connection.scalars(select(firings_table.c.job)))


def stop(house: House, name: str) -> int:
    """End a process as platforms do, and return its exit status."""
    process = house.system.processes[name]
    for _ in range(3):
        os.killpg(process.pid, signal.SIGTERM)
    return process.wait(timeout=25)


def test_two_clocks_do_no_double_work_and_no_moment_is_missed(postgres_house: House) -> None:
    """At a deploy they overlap; then the older one leaves, and the younger goes on."""
    house = postgres_house
    house.system.commands["second clock"] = house.system.commands["clock"]
    house.system.start("redis")
    eventually(house.has_redis, within_s=30, what="Redis answers")
    with taking_jobs(house) as taken:
        house.system.start("clock", "second clock")
        eventually(lambda: rung(house)["requeue"] >= 2, within_s=25, what="two moments are rung")
        assert stop(house, "clock") == 0
        eventually(lambda: rung(house)["requeue"] >= 3, within_s=30, what="the other clock rings")
        assert stop(house, "second clock") == 0
        eventually(lambda: Counter(taken) == rung(house), within_s=30, what=f"one job a moment: {taken}")
    with reading(house.engine) as connection:
        moments = connection.scalars(
            select(firings_table.c.scheduled_for)
            .where(firings_table.c.job == "jobs.requeue.run")
            .order_by(firings_table.c.scheduled_for)
        ).all()
        assert set(heartbeats.last_seen(connection)) == {"clock"}
    assert {after - before for before, after in itertools.pairwise(moments)} == {timedelta(seconds=10)}


def test_what_was_missed_is_rung_once_at_the_start(house: House) -> None:
    """Nobody rang for three hours: the last moment counts, not each of them."""
    long_ago = last_moment(RETENTION, now() - timedelta(hours=3))
    with writing(house.engine) as connection:
        firings.record(connection, RETENTION.job, long_ago, fence=1, now=long_ago)
    house.system.start("redis")
    eventually(house.has_redis, within_s=30, what="Redis answers")
    began = now()
    house.system.start("clock")
    eventually(lambda: rung(house)["retention"] == 2, within_s=30, what="the missed run is rung")
    with reading(house.engine) as connection:
        # The hour may turn while the clock starts.
        moments = {last_moment(RETENTION, began), last_moment(RETENTION, now())}
        assert any(firings.is_rung(connection, RETENTION.job, moment) for moment in moments)
    assert stop(house, "clock") == 0


def test_what_redis_did_not_take_is_caught_up(house: House) -> None:
    """It is away when the clock starts: nothing is recorded, until it is back."""
    house.system.start("clock")
    eventually(lambda: "clock_waits" in house.system.log("clock"), within_s=30, what="the clock waits")
    assert rung(house) == Counter()
    house.system.start("redis")
    eventually(lambda: rung(house)["retention"] == 1, within_s=20, what="caught up")
    assert house.redis.llen("rq:queue:work") >= 1
    assert stop(house, "clock") == 0


def test_a_clock_that_was_set_back_goes_on_ringing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its former time the next moments lie an hour ahead; what it rang for then is rung once more."""
    taken: list[str] = []
    ringer = Ringer(engine, taken.append, "a")
    ahead = timedelta(hours=1)

    class Fast(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # the scheduler needs no more of it
            return datetime.now(tz) + ahead

    with monkeypatch.context() as fast:
        fast.setattr("apscheduler.schedulers.base.datetime", Fast)
        scheduler = scheduler_of(ringer)
        scheduler.remove_job("catch_up")
        scheduler.start()
    try:
        assert all(job.next_run_time > now() + ahead / 2 for job in scheduler.get_jobs())
        assert keep_in_step(scheduler, ringer, now(), now()) <= now()
        assert all(job.next_run_time > now() + ahead / 2 for job in scheduler.get_jobs()), "nothing was set back"
        keep_in_step(scheduler, ringer, now() + ahead, now())
        eventually(lambda: "jobs.create.run" in taken, within_s=20, what="the next moment is rung")
    finally:
        scheduler.shutdown(wait=True)
