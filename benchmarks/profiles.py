"""Own the profiles: a short run of ours with its processes under the sampler, to see where the time goes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.parts import Bench, deliver, ingest
from benchmarks.systems import SUBSCRIBERS, Ours

SHOWN = 40


class Sampled(Ours):
    """Our build with one process under the sampler; its figures are slower than the real ones."""

    directory: Path

    def web_command(self) -> list[str]:
        """Return the web process's command under the sampler."""
        return self._under_sampler(super().web_command())

    def worker_command(self) -> list[str]:
        """Return the worker's command under the sampler."""
        return self._under_sampler(super().worker_command())

    def _under_sampler(self, command: Sequence[str]) -> list[str]:
        return ["-m", "benchmarks.sampling", str(self.directory), *command[1:]]


def _profile(run: Callable[[Bench, Ours], object], bench: Bench) -> str:
    sampled = Sampled(bench.machine)
    sampled.directory = bench.machine.directory / "samples"
    shutil.rmtree(sampled.directory, ignore_errors=True)
    sampled.directory.mkdir()
    bench.ours = sampled
    figures = run(bench, sampled)
    return f"{figures}\n\n{_summary(sampled.directory)}"


def _summary(directory: Path) -> str:
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for path in directory.glob("*.json"):
        sampled = json.loads(path.read_text())
        own.update(sampled["own"])
        within.update(sampled["within"])
    total = max(own.total(), 1)
    return "\n\n".join(
        [_top("CPU in a function itself", own, total), _top("CPU in it and what it calls", within, total)]
    )


def _top(title: str, places: Counter[str], total: int) -> str:
    lines = [f"{100 * used / total:6.1f} %  {place}" for place, used in places.most_common(SHOWN)]
    return "\n".join([f"{title} ({total / 1e6:.1f} s in all)", *lines])


PROFILES: Mapping[str, Callable[[Bench], str]] = {
    "profile-ingest": lambda bench: _profile(ingest, bench),
    "profile-deliver": lambda bench: _profile(deliver(*SUBSCRIBERS), bench),
}
