"""Own child processes: started in groups of their own, restarted with back-off, ended by their own pids, never orphaned."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
# A child that lived this long had started well; its next death begins the back-off anew.
SETTLED_S = 20.0
TICK_S = 0.1
LOG_BYTES = 16 * 1024 * 1024

_GUARD = Path(__file__).with_name("guard.py")


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `log` is where its output goes, None for the terminal; `inherits` are the open files it is handed.

    `rank` orders the end: the lowest are asked first, and the next rank when
    they are gone, so that nobody loses what it leans on.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path | None = None
    rank: int = 1
    inherits: Sequence[int] = ()


def wait_s(quick_deaths: int) -> float:
    """Seconds until a child is started again: it doubles with each quick death in a row."""
    # Doubling a thousand times would leave the numbers a machine can count with.
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(max(0, quick_deaths - 1), 10))


class Child:
    """One program and its present process, if any."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.since_s = time.time()
        self._started_at = 0.0
        self._quick_deaths = 0
        self._due_at = 0.0

    def start(self) -> int:
        """Start it and return its pid, which is also its group's number."""
        self.process = spawn(self.program)
        self.starts += 1
        self.since_s, self._started_at = time.time(), time.monotonic()
        return self.process.pid

    def reap(self) -> int | None:
        """Return the pid of a process that has just been found dead, and plan the next start."""
        if self.process is None or self.process.poll() is None:
            return None
        dead, self.process = self.process.pid, None
        now = time.monotonic()
        self._quick_deaths = 1 if now - self._started_at > SETTLED_S else self._quick_deaths + 1
        self._due_at, self.since_s = now + wait_s(self._quick_deaths), time.time()
        return dead

    def is_due(self) -> bool:
        """Whether it is down and has waited long enough."""
        return self.process is None and time.monotonic() >= self._due_at


class Supervisor:
    """Keeps children alive, and ends them. To be used from one thread.

    `listing` is a file that always names the children, their pids and how
    often each was started: what the board shows.
    """

    def __init__(self, listing: Path, *, say: Callable[[str], None]) -> None:
        self._listing = listing
        self._say = say
        self._children: list[Child] = []
        self._guard = _start_guard()

    def add(self, program: Program) -> None:
        """Start a program and keep it running."""
        child = Child(program)
        self._children.append(child)
        self._start(child)

    def tick(self) -> None:
        """Look after every child once."""
        if self._guard.poll() is not None:
            self._replace_guard()
        for child in self._children:
            dead = child.reap()
            if dead is not None:
                self._forget(child, dead)
                self._say(f"{child.program.name} ended{_where(child.program)}; it is started again")
            if child.is_due():
                self._start(child)
            _make_room(child.program.log)

    def stop(self, *, patience_s: float, hurried: Callable[[], bool]) -> None:
        """End all children, rank by rank, all within `patience_s`; at once as soon as `hurried` says so."""
        deadline = time.monotonic() + patience_s
        for rank in sorted({child.program.rank for child in self._children}):
            members = [child for child in self._children if child.program.rank == rank and child.process is not None]
            self._end(members, deadline=deadline, hurried=hurried)
        self._children.clear()
        self._close_guard()
        self._listing.unlink(missing_ok=True)

    def _start(self, child: Child) -> None:
        self._tell_guard("+", child.start())
        self._list()

    def _forget(self, child: Child, dead: int) -> None:
        # What a killed leader leaves of its group would go on working beside its successor.
        _signal_group(dead, signal.SIGKILL)
        self._tell_guard("-", dead)
        self._list()

    def _end(self, members: Sequence[Child], *, deadline: float, hurried: Callable[[], bool]) -> None:
        for child in members:
            if child.process is not None:
                # The leader alone, which asks its own children; what it leaves is killed once it is reaped.
                child.process.terminate()
        while any(child.process is not None for child in members):
            if hurried() or time.monotonic() > deadline:
                for child in members:
                    if child.process is not None:
                        _signal_group(child.process.pid, signal.SIGKILL)
            for child in members:
                dead = child.reap()
                if dead is not None:
                    self._forget(child, dead)
            time.sleep(TICK_S / 2)

    def _list(self) -> None:
        listed = {
            child.program.name: {
                "pid": child.process.pid if child.process else None,
                "starts": child.starts,
                "since_s": child.since_s,
            }
            for child in self._children
        }
        # In one step: the board reads it at any moment.
        fresh = self._listing.with_suffix(".new")
        fresh.write_text(json.dumps(listed))
        fresh.replace(self._listing)

    def _tell_guard(self, sign: str, group: int) -> None:
        pipe = _pipe(self._guard)
        try:
            pipe.write(b"%s%d\n" % (sign.encode(), group))
            pipe.flush()
        except OSError:
            # The next tick finds it dead and tells its successor everything.
            return

    def _replace_guard(self) -> None:
        self._close_guard()
        self._guard = _start_guard()
        for child in self._children:
            if child.process is not None:
                self._tell_guard("+", child.process.pid)

    def _close_guard(self) -> None:
        with suppress(OSError):  # it may have died with bytes unread
            _pipe(self._guard).close()
        self._guard.wait()


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, so that a Ctrl-C reaches the supervisor alone."""
    if program.log is None:
        return subprocess.Popen(
            program.command,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=program.inherits,
        )
    with _opened(program.log) as log:
        return subprocess.Popen(
            program.command,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            pass_fds=program.inherits,
        )


def run_once(program: Program) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; its output is returned, its complaints go to the terminal."""
    return subprocess.run(
        program.command, env=dict(program.environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )


def _opened(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _make_room(path: Path | None) -> None:
    """Move a large log one generation back. It stays the file that its program has open, and appends to."""
    if path is not None and path.exists() and path.stat().st_size > LOG_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def _start_guard() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", str(_GUARD)], stdin=subprocess.PIPE, process_group=0)


def _where(program: Program) -> str:
    return f", see {program.log}" if program.log else ""


def _pipe(guard: subprocess.Popen[bytes]) -> IO[bytes]:
    if guard.stdin is None:
        raise RuntimeError("the guard was started without a pipe")
    return guard.stdin


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # Gone already; macOS says "not permitted" of a group of corpses.
        return
