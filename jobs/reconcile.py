"""Own the job that judges what changed, and recovers what is missing."""

from __future__ import annotations

import os
import socket

from jobs import runtime
from relay.bootstrap import bench_of, now
from relay.flows.reconcile import reconcile
from relay.flows.recovery import recover


def run() -> str:
    """Reconcile once and recover what was found; return how the run ended."""
    bench = bench_of(runtime(), f"{socket.gethostname()}:{os.getpid()}")
    ended = reconcile(bench, now=now())
    if ended != "busy" and recover(bench, runtime().intake, now=now()):
        # What was recovered clears its break at once, not a minute later.
        ended = reconcile(bench, now=now())
    runtime().memory.ring()
    return ended
