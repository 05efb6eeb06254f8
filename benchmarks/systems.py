"""Own the two builds as the benchmarks see them: how each is set up, started, filled, and counted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from psycopg import Connection
from redis import Redis
from rq import Queue, Retry
from sqlalchemy import Engine, NullPool, create_engine, text

from benchmarks import callbacks
from benchmarks.machine import ROOT, BenchmarkError, Machine, Process, bare_environment, free_port, wait_for_http

Postgres = Connection[tuple[Any, ...]]

SUBSCRIBERS = ("ok/1", "ok/2", "ok/3")
FAN_OUT = len(SUBSCRIBERS)


@dataclass(frozen=True)
class Stored:
    """What a run left in the database."""

    callbacks: int
    events: int
    deliveries: int


@dataclass(frozen=True)
class Progress:
    """Attempts that ended within a window, from the first to the last of them."""

    attempts: int
    first: datetime | None
    last: datetime | None

    @property
    def rate(self) -> float:
        """Attempts per second; 0 when fewer than two ended."""
        if self.attempts < 2 or self.first is None or self.last is None or self.last == self.first:
            return 0.0
        return (self.attempts - 1) / (self.last - self.first).total_seconds()


class System(Protocol):
    """One build. `database` is a URL."""

    name: str

    def prepare(self, database: str) -> None:
        """Create the tables and the three subscribers of every event."""

    def web(self, database: str, *, processes: int) -> tuple[Process, int]:
        """Start the web processes; return them and their port once they answer."""

    def worker(self, database: str) -> Process:
        """Start the worker."""

    def stored(self, database: str) -> Stored:
        """Count what is stored."""

    def fill(self, connection: Postgres, *, events: int, paths: Sequence[str]) -> None:
        """Store events whose deliveries are due, three each, dealt in turn to one subscriber for each path."""

    def release(self, database: str) -> None:
        """Let the stored deliveries go, to a worker that is already up."""

    def progress(self, connection: Postgres, *, uncounted: str, seconds: float) -> Progress:
        """Count the attempts that ended in the first seconds of delivery, without those at the path `uncounted`."""


class Naive:
    """The naive build: gunicorn gthread with threads of its own choice, one SimpleWorker."""

    name = "naive"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def _environment(self, database: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database,
            "REDIS_URL": self._machine.redis_url,
            "PROVIDER_SECRET": callbacks.SECRET,
        }

    def prepare(self, database: str) -> None:
        """Create the tables and the subscribers."""
        _run(["-m", "benchmarks.naive.tables"], self._environment(database))
        insert = text("INSERT INTO subscribers (url, secret, enabled) VALUES (:url, 'secret', true)")
        with _engine(database).begin() as connection:
            connection.execute(insert, [{"url": _url(self._machine, path)} for path in SUBSCRIBERS])

    def web(self, database: str, *, processes: int) -> tuple[Process, int]:
        """Start gunicorn with eight threads a process."""
        port = free_port()
        served = ["--worker-class", "gthread", "--threads", "8", "--workers", str(processes), "--keep-alive", "60"]
        command = ["-m", "gunicorn", *served, "--bind", f"127.0.0.1:{port}", "benchmarks.naive.web:app"]
        environment = self._environment(database)
        process = Process("naive-web", command, environment=environment, directory=self._machine.directory)
        wait_for_http(process, port)
        return process, port

    def worker(self, database: str) -> Process:
        """Start the one SimpleWorker."""
        command, environment = ["-m", "benchmarks.naive.worker"], self._environment(database)
        return Process("naive-worker", command, environment=environment, directory=self._machine.directory)

    def stored(self, database: str) -> Stored:
        """Count the rows."""
        return _stored(database, "SELECT count(*) FROM callbacks")

    def fill(self, connection: Postgres, *, events: int, paths: Sequence[str]) -> None:
        """Store callbacks, events and deliveries as the web process would have."""
        _retarget(connection, self._machine, "subscribers", list(range(1, len(paths) + 1)), paths)
        form = {"orderid": "filled", "localusermark": "1", "amount": "30000", "appid": callbacks.APPID, "t": "0"}
        connection.execute(_NAIVE_CALLBACKS, {"count": events})
        connection.execute(
            _NAIVE_EVENTS, {"count": events, "body": json.dumps({"type": "recharge.succeeded", "data": form})}
        )
        connection.execute(_NAIVE_DELIVERIES, {"count": events, "paths": len(paths), "fan": FAN_OUT})
        connection.execute("VACUUM ANALYZE")

    def release(self, database: str) -> None:
        """Enqueue one job for each delivery, as the web process would have."""
        retry = Retry(max=9, interval=[5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400])
        with _engine(database).connect() as connection:
            ids = list(connection.scalars(text("SELECT id FROM deliveries ORDER BY id")))
        queue = Queue("deliver", connection=Redis.from_url(self._machine.redis_url))
        queue.enqueue_many(
            [Queue.prepare_data("benchmarks.naive.jobs.deliver", args=(id_,), retry=retry) for id_ in ids]
        )

    def progress(self, connection: Postgres, *, uncounted: str, seconds: float) -> Progress:
        """Count the attempts."""
        return _progress(connection, "subscribers", "subscriber_id", uncounted, seconds)


_NAIVE_CALLBACKS = """
    INSERT INTO callbacks (orderid, appid, user_ref, amount, raw, received_at)
    SELECT 'filled-' || n, 'bench', '1', 30000, '{}', now() FROM generate_series(1, %(count)s) n
"""
_NAIVE_EVENTS = """
    INSERT INTO events (uuid, callback_id, type, body, created_at)
    SELECT 'evt_filled' || n, n, 'recharge.succeeded', %(body)s, now() FROM generate_series(1, %(count)s) n
"""
_NAIVE_DELIVERIES = """
    INSERT INTO deliveries (event_id, subscriber_id, state, attempts, created_at)
    SELECT n, 1 + (n * %(fan)s + k) %% %(paths)s, 'pending', 0, now()
    FROM generate_series(1, %(count)s) n, generate_series(0, %(fan)s - 1) k ORDER BY n, k
"""


class Ours:
    """The product, set up through its environment and its own commands only."""

    name = "ours"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def environment(self, database: str, *, processes: int = 2, port: int = 0) -> dict[str, str]:
        """Return the settings; what is not named here is at its default."""
        return {
            "DATABASE_URL": database,
            "REDIS_URL": self._machine.redis_url,
            "SECRET_KEY": "benchmark-secret-key-of-forty-characters",
            "RELAY_ADMIN_KEY": "rly_benchmarks_only_0000000000000000000000000000",
            "RELAY_SOURCES": _SOURCES,
            "RELAY_ENDPOINT_ALLOW_CIDRS": "127.0.0.0/8",
            "WEB_CONCURRENCY": str(processes),
            "PORT": str(port or 8000),
            "PUBLIC_URL": "http://127.0.0.1",
        }

    def prepare(self, database: str) -> None:
        """Migrate and create the endpoints."""
        environment = self.environment(database)
        _run(["-m", "relay", "migrate"], environment)
        for path in SUBSCRIBERS:
            _run(["-m", "relay", "endpoints", "create", _url(self._machine, path)], environment)

    def web(self, database: str, *, processes: int) -> tuple[Process, int]:
        """Start the Procfile's web process."""
        port = free_port()
        environment = self.environment(database, processes=processes, port=port)
        process = Process("ours-web", self.web_command(), environment=environment, directory=self._machine.directory)
        wait_for_http(process, port)
        return process, port

    def web_command(self) -> list[str]:
        """Return the arguments of Python for the web process."""
        return ["-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]

    def worker(self, database: str) -> Process:
        """Start the Procfile's worker process."""
        environment = self.environment(database)
        command, directory = self.worker_command(), self._machine.directory
        return Process("ours-worker", command, environment=environment, directory=directory)

    def worker_command(self) -> list[str]:
        """Return the arguments of Python for the worker process."""
        return ["-m", "jobs.worker"]

    def clock(self, database: str) -> Process:
        """Start the Procfile's clock process."""
        environment = self.environment(database)
        return Process("ours-clock", ["-m", "jobs.clock"], environment=environment, directory=self._machine.directory)

    def stored(self, database: str) -> Stored:
        """Count the rows."""
        return _stored(database, "SELECT count(*) FROM callbacks WHERE verdict = 'accepted'")

    def fill(self, connection: Postgres, *, events: int, paths: Sequence[str]) -> None:
        """Store events and deliveries as the committer would have."""
        ids = [f"ep_bench{number:04}" for number in range(1, len(paths) + 1)]
        _retarget(connection, self._machine, "endpoints", ids, paths)
        connection.execute("UPDATE endpoints SET state = 'paused'")
        connection.execute(_OUR_EVENTS, {"count": events, "body": json.dumps(_BODY, separators=(",", ":"))})
        connection.execute(_OUR_DELIVERIES, {"count": events, "paths": len(paths), "fan": FAN_OUT})
        connection.execute("VACUUM ANALYZE")

    def release(self, database: str) -> None:
        """Enable the endpoints; what is due is found by the drainer's own poll."""
        with _engine(database).begin() as connection:
            connection.execute(text("UPDATE endpoints SET state = 'enabled'"))

    def progress(self, connection: Postgres, *, uncounted: str, seconds: float) -> Progress:
        """Count the attempts."""
        return _progress(connection, "endpoints", "endpoint_id", uncounted, seconds)


_SOURCES = f"""
[sources.{callbacks.SOURCE}]
adapter = "crossingpay-v1"
appid = "{callbacks.APPID}"
secrets = ["{callbacks.SECRET}"]
"""
_BODY = {
    "type": "recharge.succeeded",
    "timestamp": "2026-11-23T03:04:05.678Z",
    "data": {
        "event_id": "evt_018f3a4b5c6d0123456789abcdef0123456789",
        "sequence": 1234,
        "source": callbacks.SOURCE,
        "namespace": callbacks.SOURCE,
        "appid": callbacks.APPID,
        "orderid": "filled",
        "order_version": 1,
        "provider_order_id": None,
        "user_ref": "1",
        "amount": "3.000000",
        "amount_micros": 3_000_000,
        "amount_raw": "30000",
        "currency": "USDT",
        "credited_micros": 3_000_000,
        "expected_amount": None,
        "flags": [],
        "origin": "callback",
        "occurred_at": "2026-11-23T03:04:05Z",
        "transfer": None,
    },
}
_OUR_EVENTS = """
    INSERT INTO events
        (sequence, id, type, source, namespace, orderid, order_version, amount_micros, flags, body, created_at)
    SELECT n, 'evt_filled' || n, 'recharge.succeeded', 'bench', 'bench', 'filled-' || n, 1, 3000000, '', %(body)s, now()
    FROM generate_series(1, %(count)s) n
"""
_OUR_DELIVERIES = """
    INSERT INTO deliveries (event_sequence, endpoint_id, state, attempts, failures, unknowns, due_at, created_at)
    SELECT n, 'ep_bench' || lpad((1 + (n * %(fan)s + k) %% %(paths)s)::text, 4, '0'), 'pending', 0, 0, 0, now(), now()
    FROM generate_series(1, %(count)s) n, generate_series(0, %(fan)s - 1) k ORDER BY n, k
"""


def _retarget(connection: Postgres, machine: Machine, table: str, ids: Sequence[object], paths: Sequence[str]) -> None:
    """Replace the subscribers by copies of the first, one for each path: its secret stays readable."""
    connection.execute(f"CREATE TEMP TABLE model AS SELECT * FROM {table} LIMIT 1")
    connection.execute(f"DELETE FROM {table}")
    for id_, path in zip(ids, paths, strict=True):
        connection.execute("UPDATE model SET id = %s, url = %s", (id_, _url(machine, path)))
        connection.execute(f"INSERT INTO {table} SELECT * FROM model")
    connection.execute("DROP TABLE model")


def _url(machine: Machine, path: str) -> str:
    return f"http://127.0.0.1:{machine.sink_port}/{path}"


def _stored(database: str, accepted: str) -> Stored:
    with _engine(database).connect() as connection:
        queries = (accepted, "SELECT count(*) FROM events", "SELECT count(*) FROM deliveries")
        counts = [connection.scalar(text(query)) or 0 for query in queries]
    return Stored(*counts)


def _progress(connection: Postgres, table: str, key: str, uncounted: str, seconds: float) -> Progress:
    query = f"""
        WITH ended AS (
            SELECT a.finished_at FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN {table} s ON s.id = d.{key}
            WHERE a.finished_at IS NOT NULL AND s.url NOT LIKE %(uncounted)s
        ), began AS (SELECT min(finished_at) AS at FROM ended)
        SELECT count(*), min(finished_at), max(finished_at) FROM ended, began
        WHERE finished_at <= began.at + make_interval(secs => %(seconds)s)
    """
    row = connection.execute(query, {"seconds": seconds, "uncounted": f"http://%/{uncounted}"}).fetchone()
    return Progress(*row) if row else Progress(0, None, None)


def _engine(database: str) -> Engine:
    # A connection that stayed open would keep its database from being copied.
    return create_engine(database.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)


def _run(arguments: Sequence[str], environment: dict[str, str]) -> str:
    command = [sys.executable, *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, env={**bare_environment(), **environment}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise BenchmarkError(f"{' '.join(arguments)} failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


class Databases:
    """Fresh databases for every run, copied from templates that are made once."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._made: set[str] = set()

    def empty(self, system: System) -> str:
        """Return the URL of a Postgres database with tables and subscribers, and nothing else."""
        return self._copy(self._template(system))

    def filled(self, system: System, name: str, *, events: int, paths: Sequence[str]) -> str:
        """Return the URL of a Postgres database with deliveries that are due; equal names have equal contents."""
        base, template = self._template(system), f"{system.name}-{name}-{events}"
        if template not in self._made:
            self._machine.new_database(template, template=base)
            with self._machine.connect(template) as connection:
                system.fill(connection, events=events, paths=paths)
            self._made.add(template)
        return self._copy(template)

    def sqlite(self, system: System) -> str:
        """Return the URL of a SQLite database with tables and subscribers."""
        template = self._machine.directory / f"{system.name}.db"
        if not template.exists():
            system.prepare(f"sqlite:///{template}")
        path = self._machine.directory / "run" / "run.db"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        shutil.copy(_settled(template), path)
        return f"sqlite:///{path}"

    def _template(self, system: System) -> str:
        if system.name not in self._made:
            system.prepare(self._machine.new_database(system.name))
            self._made.add(system.name)
        return system.name

    def _copy(self, template: str) -> str:
        return self._machine.new_database("run", template=template)


def _settled(path: Path) -> Path:
    """Bring what still stands in the write-ahead log into the file itself."""
    with _engine(f"sqlite:///{path}").connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return path
