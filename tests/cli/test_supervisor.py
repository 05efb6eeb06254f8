from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.cli import guard
from relay.cli.supervisor import Program, Supervisor, spawn, wait_s

NEVER = lambda: False  # noqa: E731 - a name for what it says
SLEEP = "import time; time.sleep(60)"
# A leader with a child of its own, as gunicorn has: both pids go to the log.
FAMILY = (
    "import os, subprocess, sys, time; "
    "member = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print(os.getpid(), member.pid, flush=True); time.sleep(60)"
)
NOTE = (
    "import signal, sys, time\n"
    "def end(*_):\n"
    "    open({path!r}, 'a').write({name!r} + ' ')\n"
    "    sys.exit()\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "print('up', flush=True)\n"
    "time.sleep(60)\n"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


def silent(text: str) -> None:
    """Nobody reads what the supervisor says."""


def program(tmp_path: Path, name: str, code: str = SLEEP, *, rank: int = 1) -> Program:
    return Program(name, (sys.executable, "-c", code), dict(os.environ), tmp_path / "log" / f"{name}.log", rank)


def until(true: Callable[[], bool], *, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A corpse that nobody has collected yet still has a number.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    """The file that names the children."""
    return tmp_path / "children.json"


@pytest.fixture
def supervisor(listing: Path) -> Iterator[Supervisor]:
    """A supervisor whose children end with the test."""
    one = Supervisor(listing, say=silent)
    yield one
    one.stop(patience_s=5, hurried=lambda: True)


def pid_of(listing: Path, name: str) -> int | None:
    pid: int | None = json.loads(listing.read_text())[name]["pid"]
    return pid


def test_a_child_that_was_killed_is_started_again(supervisor: Supervisor, listing: Path, tmp_path: Path) -> None:
    """With a pid of its own, and the list says that it was."""
    supervisor.add(program(tmp_path, "worker"))
    first = pid_of(listing, "worker")
    assert first is not None
    os.killpg(first, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.tick()
        return pid_of(listing, "worker") not in (first, None)

    until(is_back)
    assert json.loads(listing.read_text())["worker"]["starts"] == 2


def test_a_child_that_dies_at_once_is_not_started_in_a_loop(
    supervisor: Supervisor, listing: Path, tmp_path: Path
) -> None:
    """The waits grow."""
    supervisor.add(program(tmp_path, "broken", "raise SystemExit(1)"))
    deadline = time.monotonic() + 1.2
    while time.monotonic() < deadline:
        supervisor.tick()
        time.sleep(0.02)
    assert json.loads(listing.read_text())["broken"]["starts"] <= 3


@pytest.mark.parametrize(("quick_deaths", "seconds"), [(1, 0.5), (2, 1), (3, 2), (7, 30), (100, 30), (5_000, 30)])
def test_the_back_off_doubles_up_to_half_a_minute(quick_deaths: int, seconds: float) -> None:
    """One death is forgiven quickly."""
    assert wait_s(quick_deaths) == seconds


def test_what_a_killed_leader_leaves_behind_is_ended_too(supervisor: Supervisor, tmp_path: Path) -> None:
    """It would go on working beside its successor."""
    supervisor.add(program(tmp_path, "web", FAMILY))
    log = tmp_path / "log" / "web.log"
    until(lambda: log.exists() and len(log.read_text().split()) == 2)
    leader, member = map(int, log.read_text().split())
    os.kill(leader, signal.SIGKILL)

    def is_gone() -> bool:
        supervisor.tick()
        return not is_alive(member)

    until(is_gone)


def test_stopping_ends_the_ranks_in_their_order(listing: Path, tmp_path: Path) -> None:
    """Whoever leans on another goes first; the list goes last."""
    supervisor = Supervisor(listing, say=silent)
    path = tmp_path / "ends"
    for rank, name in ((2, "redis"), (0, "traffic"), (1, "web")):
        supervisor.add(program(tmp_path, name, NOTE.format(path=str(path), name=name), rank=rank))
    until(lambda: all((tmp_path / "log" / f"{name}.log").read_text() == "up\n" for name in ("redis", "traffic", "web")))
    supervisor.stop(patience_s=10, hurried=NEVER)
    assert path.read_text().split() == ["traffic", "web", "redis"]
    assert not listing.exists()


@pytest.mark.parametrize(("patience_s", "hurried"), [(0.3, NEVER), (60, lambda: True)])
def test_a_deaf_child_is_ended_when_patience_or_the_second_interrupt_says_so(
    listing: Path, tmp_path: Path, patience_s: float, hurried: Callable[[], bool]
) -> None:
    """The end is never longer than was promised."""
    supervisor = Supervisor(listing, say=silent)
    supervisor.add(program(tmp_path, "deaf", STUBBORN))
    until(lambda: (tmp_path / "log" / "deaf.log").read_text() == "deaf\n")
    pid = pid_of(listing, "deaf")
    began = time.monotonic()
    supervisor.stop(patience_s=patience_s, hurried=hurried)
    assert time.monotonic() - began < 10
    assert pid is not None
    assert not is_alive(pid)


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """Not even the children of children: the guard ends what is still listed when the pipe closes."""
    code = (
        "import sys, pathlib, time\n"
        "from relay.cli.supervisor import Program, Supervisor\n"
        "import os\n"
        f"s = Supervisor(pathlib.Path({str(tmp_path / 'children.json')!r}), say=print)\n"
        f"s.add(Program('web', (sys.executable, '-c', {FAMILY!r}), dict(os.environ), pathlib.Path({str(tmp_path / 'web.log')!r})))\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    log = tmp_path / "web.log"
    until(lambda: log.exists() and len(log.read_text().split()) == 2)
    family = [int(pid) for pid in log.read_text().split()]
    parent.kill()
    parent.wait()
    until(lambda: not any(is_alive(pid) for pid in family))


def test_a_killed_guard_is_replaced_and_told_everything(tmp_path: Path, listing: Path) -> None:
    """The new one knows the children that the old one knew."""
    supervisor = Supervisor(listing, say=silent)
    supervisor.add(program(tmp_path, "worker"))
    pid = pid_of(listing, "worker")
    supervisor._guard.kill()
    supervisor._guard.wait()
    supervisor.tick()
    successor = supervisor._guard
    assert successor.stdin is not None
    # Closing the pipe is what the guard sees of a dead supervisor; the test then collects the corpse as the supervisor's heir.
    successor.stdin.close()
    assert supervisor._children[0].process is not None
    assert supervisor._children[0].process.wait(timeout=10) == -signal.SIGTERM
    successor.wait(timeout=15)
    assert pid is not None
    assert not is_alive(pid)


def test_the_guard_knows_what_is_still_listed() -> None:
    """What was reaped is not signalled: its number may belong to someone else by then."""
    assert guard.listed(["+1\n", "+2\n", "-1\n", "+3\n"]) == {2, 3}


def test_the_guard_makes_the_deaf_end(tmp_path: Path) -> None:
    """A polite request first, then the other one."""
    deaf = spawn(program(tmp_path, "deaf", STUBBORN))
    until(lambda: (tmp_path / "log" / "deaf.log").read_text() == "deaf\n")
    guard.end({deaf.pid}, patience_s=0.2)
    assert deaf.wait(timeout=5) == -signal.SIGKILL


def test_a_large_log_makes_room(tmp_path: Path) -> None:
    """One generation is kept."""
    log = tmp_path / "log" / "web.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    supervisor = Supervisor(tmp_path / "children.json", say=silent)
    supervisor.add(program(tmp_path, "web", "import time\nwhile True: print('new', flush=True); time.sleep(0.1)"))
    supervisor.tick()
    until(lambda: log.read_text().startswith("new\n"))
    supervisor.stop(patience_s=10, hurried=NEVER)
    assert (tmp_path / "log" / "web.log.1").exists()
