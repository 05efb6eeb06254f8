"""Own the job that takes back what vanished processes left open."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import new_event_id, now
from relay.flows.requeue import requeue


def run() -> int:
    """Return how many attempts were taken back."""
    return requeue(runtime().engine, runtime().memory, now=now(), new_id=new_event_id)
