"""Own the part `chain`: the same chains are read both ways, each time by a process of its own, and a table is printed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.machine import ROOT

Sample = dict[str, float]

NOISE = 3
BLOCKS = 10_000
FEW = 10


@dataclass(frozen=True)
class Case:
    """A chain that is read: of how many blocks, with a payment in every `every`-th, to how many watched addresses."""

    title: str
    watched: int
    every: int
    ways: Sequence[str] = ("ours", "scanner")
    blocks: int = BLOCKS

    @property
    def finds(self) -> int:
        """How much there is to find: payments, or days of addresses to be proven."""
        return self.watched if self.ways == ("balances",) else self.blocks // self.every if self.every else 0


CASES = (
    *(
        Case(f"{watched:,} addresses, {what}", watched, every)
        for watched in (10, 10_000, 100_000)
        for what, every in (("quiet", 0), ("1,000 transfers", 10))
    ),
    Case("10 addresses, 10,000 transfers in 100,000 blocks", 10, 10, ("ours",), 10 * BLOCKS),
    *(
        Case(f"{watched:,} addresses, a day's balances measured and proven", watched, 10, ("balances",))
        for watched in (10_000, 100_000)
    ),
)


def run(*, rounds: int) -> int:
    """Measure every case, the ways in turn; 1 when ours asked more, was slower, or found another number of transfers."""
    print("| chain | way | requests | calls | s | CPU s | peak MB |", "|---|---|---|---|---|---|---|", sep="\n")
    lost = [case for case in CASES if not _compare(case, rounds)]
    return 1 if lost else 0


def _compare(case: Case, rounds: int) -> bool:
    taken: dict[str, list[Sample]] = {way: [] for way in case.ways}
    # Above a handful of addresses the scanner takes a minute, and is slower by far: once tells it.
    for _ in range(rounds if case.watched <= FEW else 1):
        for way, samples in taken.items():
            samples.append(_read(case, way))
    medians = {way: _median(samples) for way, samples in taken.items()}
    for way, median in medians.items():
        print(_row(case, way, median), flush=True)
    return _holds(case, medians)


def _median(samples: Sequence[Sample]) -> Sample:
    return {name: statistics.median(one[name] for one in samples) for name in samples[0]}


def _holds(case: Case, medians: dict[str, Sample]) -> bool:
    if any(median["found"] != case.finds for median in medians.values()):
        told = [median["found"] for median in medians.values()]
        print(f"{case.title}: found {told}, not {case.finds}", file=sys.stderr)
        return False
    us, them = medians.get("ours"), medians.get("scanner")
    return us is None or them is None or (us["requests"] < them["requests"] and us["seconds"] <= them["seconds"])


def _row(case: Case, way: str, taken: Sample) -> str:
    figures = f"{taken['requests']:,.0f} | {taken['calls']:,.0f} | {taken['seconds']:.2f} | {taken['cpu_s']:.2f}"
    return f"| {case.title} | {way} | {figures} | {taken['peak_mb']:.0f} |"


def _read(case: Case, way: str) -> Sample:
    with _serving(case) as url:
        asked = ["benchmarks.chain.reading", way, url, "--watched", str(case.watched), "--blocks", str(case.blocks)]
        done = subprocess.run([sys.executable, "-m", *asked], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told: Sample = json.loads(done.stdout.splitlines()[-1])
    return told


@contextmanager
def _serving(case: Case) -> Iterator[str]:
    options = {"watched": case.watched, "every": case.every, "noise": NOISE}
    asked = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.chain.node", *asked]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{(process.stdout or sys.stdin).readline().strip()}"
    finally:
        process.terminate()
        process.wait()
