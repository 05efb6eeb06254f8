"""Own the job that asks providers about orders which await their word."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import new_event_id, now
from relay.flows.asking_again import ask_again
from relay.flows.polling import Poller, poll

# With the exchange that has begun before its end it stays below the 20 s that a stopping process grants a job.
FOR_S = 8.0


def run() -> int:
    """Return how many orders changed by what their provider said."""
    poller = Poller(creator=runtime().creator, new_id=new_event_id)
    started = now()
    changed = poll(poller, for_s=FOR_S)
    # What is due comes first; the second question about whole days has the turns that are left.
    changed += ask_again(poller, for_s=FOR_S - (now() - started).total_seconds())
    if changed:
        runtime().memory.ring()
    return changed
