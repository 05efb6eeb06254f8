"""Own the job that sends the requests for orders which nobody waited for."""

from __future__ import annotations

from jobs.parts import runtime
from relay.flows.creation import finish


def run() -> int:
    """Return how many requests were looked at."""
    return finish(runtime().creator)
