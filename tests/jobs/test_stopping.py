"""Stops that platforms ask for, with real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jobs.stopping import Stop


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave the signals of the test process as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_remembered_and_repeats_change_nothing(number: signal.Signals) -> None:
    """Three signals, one stop."""
    stop = Stop()
    stop.install()
    assert not stop.asked
    for _ in range(3):
        signal.raise_signal(number)
    assert stop.asked


def test_a_stop_that_came_before_is_told_at_once() -> None:
    """A job that begins in the moment of the signal must not run its full time."""
    stop, told = Stop(), []
    stop.install()
    signal.raise_signal(signal.SIGTERM)
    with stop.told_to(lambda: told.append(1)):
        assert told == [1]


def test_whoever_listened_before_listens_again_and_is_passed_the_stop() -> None:
    """RQ's own handlers come back, and hear what came meanwhile."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    stop, told = Stop(), []
    with stop.told_to(lambda: told.append(1)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert (told, heard) == ([1, 1], [])
    assert heard == [signal.SIGTERM]
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM] * 2


def test_without_a_stop_nothing_is_passed_on() -> None:
    """The listener from before hears nothing of a quiet time."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    with Stop().told_to(lambda: None):
        pass
    assert heard == []


def test_a_child_stops_when_its_parent_is_gone() -> None:
    """The end of its input is the sign, whatever killed the parent."""
    program = (
        "import time\n"
        "from jobs.stopping import STOP, stop_with_parent\n"
        "STOP.install(); stop_with_parent(); print('ready', flush=True)\n"
        "while not STOP.asked: time.sleep(0.02)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.stdin.close()
        assert child.wait(timeout=10) == 0
