"""Own when an endpoint counts as failing, and for how long it is then left alone: from its answers in a row.

One success ends it. An endpoint that fails is tried with one delivery at a
time, so that what waits for it neither crowds it nor spends its attempts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

# After so many failures without one success between them, one delivery at a time is tried.
PROBED_AT = 10
# Failures further apart than this are not in a row: nobody knows what was between. The attempts of one delivery are closer.
APART = timedelta(hours=36)
# A restart of the subscriber is over by then, and worth no alert.
TOLD_AFTER = timedelta(minutes=1)
# Nothing but failure for as long is no outage but an endpoint that nobody looks after.
GIVEN_UP_AFTER = timedelta(days=5)
_SOONEST = timedelta(seconds=5)
_LATEST = timedelta(minutes=1)


class Turn(Enum):
    """What an answer may make of an endpoint that somebody has to hear of."""

    FAILING = "endpoint.failing"
    RECOVERED = "endpoint.recovered"
    GIVEN_UP = "endpoint.disabled"


def turn_of(
    *, delivered: bool, failures_in_row: int, failing_since: datetime | None, is_told: bool, now: datetime
) -> Turn | None:
    """Say what an answer turns, by how its endpoint stood when it was asked; `is_told`: that it fails was announced."""
    if delivered:
        return Turn.RECOVERED if is_told else None
    if failing_since is None or failures_in_row < PROBED_AT:
        return None
    if failing_since <= now - GIVEN_UP_AFTER:
        return Turn.GIVEN_UP
    return Turn.FAILING if failing_since <= now - TOLD_AFTER and not is_told else None


def probe_at(*, failing_since: datetime | None, now: datetime) -> datetime:
    """Return when an endpoint that fails is tried again: after a tenth of the time for which it has failed, within bounds."""
    failed_for = now - (failing_since or now)
    return now + min(max(failed_for / 10, _SOONEST), _LATEST)
