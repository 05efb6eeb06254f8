"""Own the job that prepares the days that are over and need nobody, and keeps the trend of the last days."""

from __future__ import annotations

from jobs import runtime
from relay.bootstrap import desk_of, now
from relay.flows import trend
from relay.flows.close import by_clock


def run() -> None:
    """Run once."""
    desk = desk_of(runtime())
    by_clock(desk, now=now())
    trend.refresh(desk.engine, desk.calendar, now=now())
