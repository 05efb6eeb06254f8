"""Own the job that moves replays on."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import now
from relay.flows.replays import proceed


def run() -> int:
    """Return how many deliveries were made due."""
    return proceed(runtime().engine, runtime().memory, now=now())
