"""Own the job that asks providers about orders which await their word."""

from __future__ import annotations

from jobs import runtime
from relay.bootstrap import new_event_id
from relay.flows.polling import Poller, poll

# With the exchange that has begun before its end it stays below the 20 s that a stopping process grants a job.
FOR_S = 8.0


def run() -> int:
    """Return how many orders changed by what their provider said."""
    changed = poll(Poller(creator=runtime().creator, new_id=new_event_id), for_s=FOR_S)
    if changed:
        runtime().memory.ring()
    return changed
