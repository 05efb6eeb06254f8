"""Own RQ: jobs are put on queues as signed ids, and only our own jobs are ever run.

Whoever can write to Redis can put anything on a queue, so nothing that comes
from there is trusted: what is not signed by us is not read, what is signed
still has to name one of our jobs, and the parts of RQ that lie outside the
signature (callbacks, webhooks, remote commands) are off.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

import redis
from rq import Queue, SimpleWorker, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.utils import import_attribute
from rq.worker import BaseWorker

from relay.edge.vault import derive
from relay.errors import InvariantBroken, Unavailable

# Stricter than a prefix: `jobs.clock.os.system` also begins with `jobs.`, and RQ would follow it.
JOB_NAME = re.compile(r"jobs\.[a-z]+\.run")
JOB_TIMEOUT_S = 300
RESULT_TTL_S = 60
FAILURE_TTL_S = 24 * 3600
# How long a running job may go on after SIGTERM; platforms kill after 30 s.
GRACE_S = 20
# RQ waits 15 s less for a job, and gives up an answer 5 s before this.
WORKER_TTL_S = 60
# Of a job's call, and of the error that it ended with, in bytes: a few hundred are usual.
_MOST_PACKED = 16_384
# What waits is put at the front, so it is found among the first.
_LOOKED_AT = 64


class SignedJSON:
    """RQ's serializer: HMAC-SHA256 of the JSON text, then the text. The first key signs, all verify."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)
        # RQ asks a serializer for the name that a class would have.
        self.__qualname__ = type(self).__qualname__

    def dumps(self, value: Any) -> bytes:
        """Return the signed form of a JSON value."""
        text = json.dumps(value).encode()
        return self._mac(self._keys[0], text) + text

    def loads(self, data: bytes) -> Any:
        """Return the value; what none of our keys signed is InvariantBroken, and is not parsed."""
        mac, text = data[: hashlib.sha256().digest_size], data[hashlib.sha256().digest_size :]
        if not any(hmac.compare_digest(mac, self._mac(key, text)) for key in self._keys):
            raise InvariantBroken("a job in Redis is not signed by us", code="job_forged")
        return json.loads(text)

    @staticmethod
    def _mac(key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, "sha256")


class OwnJob(Job):
    """A job that runs nothing but our own entry points."""

    @property
    def func(self) -> Callable[..., Any]:
        """The entry point; any other function is InvariantBroken."""
        if self.instance is not None or not JOB_NAME.fullmatch(self.func_name or ""):
            raise InvariantBroken("a job in Redis names no job of ours", code="job_forged")
        entry_point: Callable[..., Any] = import_attribute(str(self.func_name))
        return entry_point

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Read the job's hash, without the names and addresses in it that no signature covers."""
        # RQ unpacks both before anybody asks who signed them: ten megabytes may become ten gigabytes.
        if any(len(raw_data.get(name, b"")) > _MOST_PACKED for name in (b"data", b"exc_info")):
            raise NoSuchJobError(f"job {self.id} is too large to be ours")
        try:
            super().restore(raw_data)
        except Exception as error:
            # A hash made to break its reader would stop every worker that meets it: there is no such job.
            raise NoSuchJobError(f"job {self.id} cannot be read") from error
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []


class RQQueue:
    """Fills ports.Queue: puts jobs on one queue by dotted name. A job that runs longer than `job_timeout_s` is ended."""

    def __init__(
        self, connection: redis.Redis, name: str, serializer: SignedJSON, *, job_timeout_s: int = JOB_TIMEOUT_S
    ) -> None:
        self._connection = connection
        self._name = name
        self._serializer = serializer
        self._job_timeout_s = job_timeout_s

    def enqueue(self, job: str, *args: str | int) -> None:
        """Put a job at the end of the queue. Arguments are ids.

        Raises:
            Unavailable: Redis does not take it.
        """
        self._put(job, args, at_front=False)

    def ensure(self, job: str) -> None:
        """Put a job without arguments at the front of the queue, unless one waits there already.

        Two processes may both find none and put two; our jobs bear that. What
        rings while nobody works does not pile up.

        Raises:
            Unavailable: Redis does not take it.
        """
        prefix = _id_prefix(job)
        with _translated():
            waiting = self._queue().get_job_ids(0, _LOOKED_AT)
        if not any(job_id.startswith(prefix) for job_id in waiting):
            self._put(job, (), at_front=True)

    def work_one(self) -> bool:
        """Run the next job in this very process, if there is one; tell whether one ended.

        Raises:
            Unavailable: Redis does not answer, or refuses what a worker has to write.
        """
        with _translated():
            return self._worker(OneJobWorker).work(burst=True, max_jobs=1)

    def work(self) -> bool:
        """Run jobs, each in a process forked for it, until SIGTERM or SIGINT; False when it ended by itself.

        Raises:
            Unavailable: Redis does not answer.
        """
        with _translated():
            worker = self._worker(PatientWorker)
            worker.work()
            return worker.was_stopped

    def _put(self, job: str, args: tuple[str | int, ...], *, at_front: bool) -> None:
        if not JOB_NAME.fullmatch(job):
            raise InvariantBroken(f"{job} is not the name of a job")
        with _translated():
            self._queue().enqueue_call(
                job,
                args=args,
                job_id=_id_prefix(job) + uuid.uuid4().hex,
                # RQ would describe, and log, a job by its arguments.
                description=job,
                timeout=self._job_timeout_s,
                result_ttl=RESULT_TTL_S,
                failure_ttl=FAILURE_TTL_S,
                at_front=at_front,
            )

    def _queue(self) -> Queue:
        return Queue(self._name, connection=self._connection, serializer=self._serializer, job_class=OwnJob)

    def _worker(self, kind: type[_Kind]) -> _Kind:
        return kind(
            [self._queue()],
            connection=self._connection,
            serializer=self._serializer,
            job_class=OwnJob,
            worker_ttl=WORKER_TTL_S,
            log_job_description=False,
        )


def job_queue(
    secret_keys: Sequence[str], name: str, client: redis.Redis, *, job_timeout_s: int = JOB_TIMEOUT_S
) -> RQQueue:
    """Return a queue whose jobs our keys sign, over a client of the caller's choice."""
    return RQQueue(client, name, SignedJSON([derive(key, b"jobs") for key in secret_keys]), job_timeout_s=job_timeout_s)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable("the job queue does not answer") from error


def _id_prefix(job: str) -> str:
    # RQ allows letters, digits, underscores and dashes in an id.
    return job.split(".")[1] + "-"


class _OwnWorker(BaseWorker):
    """What both kinds of worker share."""

    def subscribe(self) -> None:
        """Listen to no remote commands: anyone in Redis could send them, and they cost a connection."""


_Kind = TypeVar("_Kind", bound=_OwnWorker)


class OneJobWorker(_OwnWorker, SimpleWorker):
    """Runs at most one job in this very process, and leaves signals and the client's timeouts to its caller."""

    def _install_signal_handlers(self) -> None:
        pass

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        # RQ would wait 415 s for an answer; here it never blocks on the queue.
        return connection

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Take a job if there is one; RQ's own way tries for ever when Redis is away."""
        self.heartbeat()
        return self.queue_class.dequeue_any(
            self._ordered_queues, timeout, connection=self.connection, job_class=OwnJob, serializer=self.serializer
        )


class PatientWorker(_OwnWorker, Worker):
    """Forks for each job; at SIGTERM, however often it comes, the running job has GRACE_S to finish."""

    # Redis that returns after a long while is soon found.
    max_connection_wait_time = 5.0

    def _install_signal_handlers(self) -> None:
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)
        # A process just forked inherits this until it sets its own.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    @property
    def was_stopped(self) -> bool:
        """Whether a signal asked it to end."""
        return self._shutdown_requested_date is not None

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """A second signal does not kill the job: platforms send several."""

    def handle_warm_shutdown_request(self) -> None:
        """Tell the process of the running job how long it has."""
        if self.horse_pid:
            with suppress(ProcessLookupError):
                # Not its group, as RQ would: a process just forked is still in ours.
                os.kill(self.horse_pid, signal.SIGUSR1)

    def setup_work_horse_signals(self) -> None:
        """The job's process hears of the stop from its parent alone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, self._end_within_grace)

    def _end_within_grace(self, signum: int, frame: FrameType | None) -> None:
        """Bring the job's own time limit forward; the handler that RQ set for it raises in the job."""
        remaining = signal.alarm(0)
        signal.alarm(min(remaining, GRACE_S) if remaining else GRACE_S)
