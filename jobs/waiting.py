"""Own the job that ends what orders wait for: evidence after its grace, and money after its time."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import new_event_id, now
from relay.flows.confirmation import end_grace
from relay.flows.expiry import expire


def run() -> int:
    """Return how many orders changed."""
    engine, sources = runtime().engine, runtime().sources
    changed = end_grace(engine, sources, now=now(), new_id=new_event_id)
    changed += expire(engine, sources, now=now(), new_id=new_event_id)
    if changed:
        runtime().memory.ring()
    return changed
