"""Own the job that lets go of what need not be kept."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import now
from relay.flows.retention import retain


def run() -> None:
    """Run once."""
    retain(runtime().engine, now=now())
