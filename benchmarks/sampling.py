"""Own a sampler that weighs each thread's stack by the CPU time it has used since the last look.

    python -m benchmarks.sampling DIRECTORY MODULE [ARGUMENT ...]

runs a module as its main program; it and every process it forks write one
file each, `<pid>.json`, once a second: {"own": {place: us}, "within": {place: us}}.
A thread that waits has used nothing, so waits do not show.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.002
WRITE_EVERY = 500


class Sampler:
    """Looks at every thread of this process and adds up where CPU went."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own: Counter[str] = Counter()
        self._within: Counter[str] = Counter()
        self._used: dict[int, float] = {}

    def start(self) -> None:
        """Begin in a thread; called again in each fork."""
        self._own.clear()
        self._within.clear()
        self._used.clear()
        threading.Thread(target=self._run, name="sampler", daemon=True).start()

    def _run(self) -> None:
        own_id, turns = threading.get_ident(), 0
        while True:
            time.sleep(INTERVAL_S)
            for thread, frame in sys._current_frames().items():  # noqa: SLF001  # the documented way to all stacks
                if thread != own_id:
                    self._look(thread, frame)
            turns += 1
            if turns % WRITE_EVERY == 0:
                self._write()

    def _look(self, thread: int, frame: FrameType) -> None:
        try:
            used = time.clock_gettime(time.pthread_getcpuclockid(thread))
        except OSError:
            return
        weight = int((used - self._used.get(thread, used)) * 1e6)
        self._used[thread] = used
        if weight > 0:
            self._add(frame, weight)

    def _add(self, frame: FrameType, weight: int) -> None:
        self._own[_place(frame)] += weight
        above: FrameType | None = frame
        places = set()
        while above is not None:
            places.add(_place(above))
            above = above.f_back
        for place in places:
            self._within[place] += weight

    def _write(self) -> None:
        path = self._directory / f"{os.getpid()}.json"
        path.write_text(json.dumps({"own": self._own, "within": self._within}))


def _place(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{'/'.join(path.parts[-2:])}:{frame.f_code.co_qualname}"


def main() -> None:
    """Run the named module under the sampler."""
    directory, module = Path(sys.argv[1]), sys.argv[2]
    sampler = Sampler(directory)
    sampler.start()
    os.register_at_fork(after_in_child=sampler.start)
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
