"""Own the job that proves the days of the last week, a part at a time."""

from __future__ import annotations

import os
import socket

from jobs.parts import runtime
from relay.bootstrap import bench_of, desk_of, now
from relay.flows.day_proof import begin, prove

# Of 500 orders each: a second or two, so that a stopping process need not wait.
PAGES = 10


def run() -> int:
    """Return how many orders stood otherwise than their facts say."""
    bench = bench_of(runtime(), f"{socket.gethostname()}:{os.getpid()}")
    begin(bench, desk_of(runtime()).calendar, now=now())
    return prove(bench, now=now(), pages=PAGES)
