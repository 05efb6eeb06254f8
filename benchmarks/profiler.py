"""Own a profiler of every thread, by the CPU time that the thread itself has used.

    python -m benchmarks.profiler DIRECTORY MODULE [ARGUMENT ...]

runs a module as its main program under cProfile; it and every process it
forks write one file each twice a second, `<pid>.json`: {place: [calls, own us,
us with callees]}. Waiting uses nothing, so it does not show. Calls are made
dearer, so that many small functions look worse than they are.
"""

from __future__ import annotations

import cProfile
import functools
import json
import os
import runpy
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

WRITE_EVERY_S = 0.5


class Profiler:
    """The profiles of this process's threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._profiles: list[cProfile.Profile] = []

    def start(self) -> None:
        """Profile this thread and those it starts; called again in each fork, where only the forking thread lives."""
        for inherited in self._profiles:
            inherited.disable()
        self._profiles = []
        # The writer itself must not be profiled.
        threading.setprofile(None)
        threading.Thread(target=self._write_for_ever, name="profiler", daemon=True).start()
        threading.setprofile(self._begin)
        self._begin()

    def _begin(self, *_: object) -> None:
        """Take the place of the hook that called us: from now on cProfile itself listens to this thread."""
        profile = cProfile.Profile(time.thread_time)
        self._profiles.append(profile)
        profile.enable()

    def _write_for_ever(self) -> None:
        while True:
            time.sleep(WRITE_EVERY_S)
            path = self._directory / f"{os.getpid()}.json"
            # A process may end in the middle of a write, and its reader must not meet half a file.
            half = path.with_suffix(".half")
            half.write_text(json.dumps(self._totals()))
            half.rename(path)

    def _totals(self) -> dict[str, list[float]]:
        totals: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0])
        for profile in list(self._profiles):
            for entry in profile.getstats():
                total = totals[_place(entry.code)]
                total[0] += entry.callcount
                total[1] += entry.inlinetime * 1e6
                total[2] += entry.totaltime * 1e6
        return totals


@functools.cache
def _place(code: Any) -> str:
    if isinstance(code, str):
        return code
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_qualname}"


def main() -> None:
    """Run the named module under the profiler."""
    directory, module = Path(sys.argv[1]), sys.argv[2]
    profiler = Profiler(directory)
    os.register_at_fork(after_in_child=profiler.start)
    sys.argv = sys.argv[2:]
    profiler.start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
