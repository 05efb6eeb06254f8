"""Own the job that looks after days: it has providers asked again, names what came late, prepares what needs nobody, and keeps the trend."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import desk_of, now
from relay.flows import asking_again, prior_period, trend
from relay.flows.close import by_clock


def run() -> None:
    """Run once."""
    desk = desk_of(runtime())
    asking_again.begin(desk.engine, desk.sources, desk.calendar, now=now())
    prior_period.open_breaks(desk, now=now())
    by_clock(desk, now=now())
    trend.refresh(desk.engine, desk.calendar, now=now())
