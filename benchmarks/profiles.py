"""Own the profiles: a short run of ours with a process under the profiler, to see where its time goes."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.machine import Machine, Process
from benchmarks.parts import Bench, Sample, deliver, ingest
from benchmarks.profiler import WRITE_EVERY_S
from benchmarks.systems import SUBSCRIBERS, Ours, System

SHOWN = 45

Totals = Mapping[str, Sequence[float]]


class Profiled(Ours):
    """Our build with a process under the profiler; it is much slower than the real one.

    `before` is what had been used when the work began.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.directory = machine.directory / "profiles"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.before: Totals = {}

    def web(self, database: str, *, processes: int) -> tuple[Process, int]:
        """Start the web process, and take its imports for done."""
        started = super().web(database, processes=processes)
        self.note_before()
        return started

    def release(self, database: str) -> None:
        """Let the deliveries go, and take the worker's imports for done."""
        self.note_before()
        super().release(database)

    def note_before(self) -> None:
        """Remember what was used so far, once it has been written."""
        time.sleep(2 * WRITE_EVERY_S)
        self.before = _totals(self.directory)

    def web_command(self) -> list[str]:
        """Return the web process's command under the profiler."""
        return self._profiled(super().web_command())

    def worker_command(self) -> list[str]:
        """Return the delivering half of the worker, which `jobs.worker` starts as a process of its own."""
        return self._profiled(["-m", "jobs.deliver"])

    def _profiled(self, command: Sequence[str]) -> list[str]:
        return ["-m", "benchmarks.profiler", str(self.directory), *command[1:]]


def _profile(run: Callable[[Bench, System], Sample], bench: Bench) -> str:
    profiled = Profiled(bench.machine)
    bench.ours = profiled
    figures = run(bench, profiled)
    totals = _difference(_totals(profiled.directory), profiled.before)
    return "\n\n".join([str(figures), _top("in the function itself", totals, 1), _top("with what it calls", totals, 2)])


def _totals(directory: Path) -> Totals:
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for path in directory.glob("*.json"):
        for place, figures in json.loads(path.read_text()).items():
            totals[place] = [sum(pair) for pair in zip(totals[place], figures, strict=True)]
    return totals


def _difference(after: Totals, before: Totals) -> Totals:
    nothing = (0.0, 0.0, 0.0)
    return {place: [a - b for a, b in zip(after[place], before.get(place, nothing), strict=True)] for place in after}


def _top(title: str, totals: Totals, column: int) -> str:
    whole = max(sum(figures[1] for figures in totals.values()), 1)
    places = sorted(totals, key=lambda place: -totals[place][column])[:SHOWN]
    lines = [f"{100 * totals[place][column] / whole:6.1f} % {totals[place][0]:9.0f} calls  {place}" for place in places]
    return "\n".join([f"CPU {title}, of {whole / 1e6:.1f} s", *lines])


PROFILES: Mapping[str, Callable[[Bench], str]] = {
    "profile-ingest": lambda bench: _profile(ingest, bench),
    "profile-deliver": lambda bench: _profile(deliver(*SUBSCRIBERS), bench),
}
