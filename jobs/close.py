"""Own the job that prepares the days that are over and need nobody."""

from __future__ import annotations

from jobs import runtime
from relay.bootstrap import desk_of, now
from relay.flows.close import by_clock


def run() -> None:
    """Run once."""
    by_clock(desk_of(runtime()), now=now())
