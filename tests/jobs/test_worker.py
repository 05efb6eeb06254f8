"""The worker as its platform runs it: real processes, real signals, a Redis that comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from relay.edge.rq import RQQueue, SignedJSON
from relay.edge.vault import derive
from relay.store import heartbeats
from relay.store.engine import reading
from tests.jobs.conftest import House
from tests.system import eventually

# A job that takes a while, beside the real ones.
PROBE = """
import os, time
def run(seconds):
    with open(os.environ["TRACE"], "a") as trace:
        trace.write("began\\n")
        trace.flush()
        time.sleep(seconds)
        trace.write("ended\\n")
"""

# The worker's processes, as its settings have them by default.
THREE = ["jobs.deliver", "jobs.deliver", "jobs.work"]


def end(house: House, name: str, *, times: int = 3) -> tuple[int, float]:
    """Signal the whole group of a process several times, as platforms do; return its exit status and the seconds it took."""
    process, began = house.system.processes[name], time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.3)
        if process.poll() is not None:
            break
    return process.wait(timeout=40), time.monotonic() - began


def children(house: House) -> dict[int, str]:
    """The worker's processes and the module of each."""
    parent = house.system.processes["worker"].pid
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=False
    )
    return {int(line.split()[0]): line.split()[-1] for line in listed.stdout.splitlines()}


def jobs_of(house: House) -> RQQueue:
    """The queue `work`, as any process of ours reaches it."""
    key = house.system.environment["SECRET_KEY"]
    return RQQueue(house.redis, "work", SignedJSON([derive(key, b"jobs")]))


def test_an_open_exchange_finishes_however_often_the_stop_is_asked(house: House) -> None:
    """Three SIGTERM to the whole group: the attempt ends, nothing is spent, the exit is clean."""
    house.shop.takes_s = 4.0
    house.announce()
    house.system.start("redis", "worker")
    eventually(lambda: bool(house.shop.ids), within_s=20, what="the exchange is open")
    house.announce()
    eventually(lambda: len(house.shop.ids) == 2, within_s=5, what="a second one is open")
    status, took_s = end(house, "worker")
    assert (status, house.states(), house.outcomes()) == (0, ["delivered"] * 2, ["delivered"] * 2)
    assert len(house.shop.ids) == 2
    assert took_s < 25


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 1.0])
def test_a_stop_in_the_middle_of_the_start_is_heard(house: House, after_s: float) -> None:
    """At no moment is a signal lost, and nothing that was claimed stays open."""
    house.system.start("redis", "worker")
    house.announce()
    time.sleep(after_s)
    process = house.system.processes["worker"]
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)
    assert time.monotonic() - began < 10
    assert house.states() in (["pending"], ["delivered"])
    assert house.outcomes() in ([], ["delivered"])


def test_a_running_job_finishes_however_often_the_stop_is_asked(house: House, tmp_path: Path) -> None:
    """The process that was forked for it is in no hurry."""
    (tmp_path / "overlay" / "jobs" / "probe.py").write_text(PROBE)
    trace = tmp_path / "trace"
    house.system.start("redis", "worker")
    eventually(house.has_redis, within_s=30, what="Redis answers")
    jobs_of(house).enqueue("jobs.probe.run", 4)
    eventually(trace.exists, within_s=20, what="the job runs")
    status, took_s = end(house, "worker")
    assert (status, trace.read_text()) == (0, "began\nended\n")
    assert took_s < 25
    assert house.redis.zcard("rq:failed:work") == 0


def test_deliveries_go_on_without_redis_and_with_it_again(house: House) -> None:
    """From the start nobody answers; then Redis comes, goes, and comes back empty."""
    house.announce()
    house.system.start("worker")
    eventually(lambda: house.states() == ["delivered"], within_s=20, what="delivered without Redis")
    house.system.start("redis")
    eventually(house.has_redis, within_s=30, what="Redis answers")
    eventually(lambda: bool(house.redis.zcard("rq:wip:deliver")), within_s=20, what="the resident job is RQ's")
    house.announce()
    eventually(lambda: house.states() == ["delivered"] * 2, within_s=30, what="delivered with Redis")
    house.system.kill("redis")
    house.announce()
    eventually(lambda: house.states() == ["delivered"] * 3, within_s=30, what="delivered when Redis is gone")
    house.system.start("redis")
    house.announce()
    eventually(lambda: house.states() == ["delivered"] * 4, within_s=30, what="delivered when Redis is back")
    assert end(house, "worker")[0] == 0
    assert len(house.shop.ids) == 4


def test_whatever_lies_on_the_queue_delays_no_delivery(house: House) -> None:
    """Unreadable jobs, jobs that are gone, unsigned ones that come before ours, and values of a wrong kind."""
    house.system.start("redis")
    eventually(house.has_redis, within_s=30, what="Redis answers")
    house.redis.rpush("rq:queue:deliver", *(f"gone-{number}" for number in range(500)))
    house.redis.hset("rq:job:broken", mapping={"data": b"x", "status": "queued", "timeout": "-", "origin": "deliver"})
    house.redis.lpush("rq:queue:deliver", "broken")
    trace = house.system.environment["TRACE"]
    forged = Queue("deliver", connection=house.redis, serializer=JSONSerializer)
    for _ in range(50):
        forged.enqueue("os.system", f"touch {trace}", at_front=True)
    house.redis.set("rq:queue:work", "not a list")
    house.announce()
    house.system.start("worker")
    eventually(lambda: house.states() == ["delivered"], within_s=20, what="delivered all the same")
    house.redis.flushall()
    house.redis.set("rq:queue:deliver", "not a list")
    for pid, module in children(house).items():
        if module == "jobs.deliver":
            os.kill(pid, signal.SIGKILL)
    house.announce()
    eventually(lambda: house.states() == ["delivered"] * 2, within_s=20, what="delivered without a queue")
    assert not Path(trace).exists()


def test_a_child_that_dies_is_started_again(house: House) -> None:
    """Each of the three, and the worker itself goes on."""
    house.system.start("redis", "worker")
    eventually(lambda: sorted(children(house).values()) == THREE, within_s=20, what="all run")
    before = children(house)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: sorted(children(house).values()) == THREE and not set(children(house)) & set(before),
        within_s=20,
        what="all run again",
    )
    house.announce()
    eventually(lambda: house.states() == ["delivered"], within_s=20, what="delivered by the new one")


def test_every_deliverer_has_a_job_of_its_own(house: House) -> None:
    """Whoever finds that a neighbour took the job puts another; nobody delivers past RQ."""
    house.system.start("redis", "worker")
    eventually(house.has_redis, within_s=30, what="Redis answers")
    eventually(lambda: house.redis.zcard("rq:wip:deliver") == 2, within_s=20, what="two resident jobs run")
    assert "delivering_without_queue" not in house.system.log("worker")


def test_no_child_outlives_the_worker(house: House) -> None:
    """Even when it is killed without a chance to say so."""
    house.system.start("redis", "worker")
    eventually(lambda: len(children(house)) == 3, within_s=20, what="all run")
    left = list(children(house))
    os.kill(house.system.processes["worker"].pid, signal.SIGKILL)
    house.system.processes["worker"].wait(timeout=5)
    eventually(lambda: not any(is_alive(pid) for pid in left), within_s=20, what="nobody is left")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait long for whoever inherited it to take notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_leaves_signs_of_life(house: House) -> None:
    """One row, from its parent."""
    house.system.start("redis", "worker")

    def seen() -> bool:
        with reading(house.engine) as connection:
            return set(heartbeats.last_seen(connection)) == {"worker"}

    eventually(seen, within_s=30, what="a heartbeat")


def test_a_worker_without_its_settings_says_so_and_ends(house: House) -> None:
    """No child is started that would only die."""
    house.system.environment["SECRET_KEY"] = ""
    house.system.start("worker")
    assert house.system.processes["worker"].wait(timeout=20) == 1
    assert "SECRET_KEY" in house.system.log("worker")
