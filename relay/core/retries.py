"""Own the timetable of a delivery: what follows an attempt, from its answer alone.

Source: Standard Webhooks 1.0, "Operational considerations": any 2xx is
success, 3xx is not followed, 410 means gone, 429 and the 5xx of an overloaded
server ask to slow down, and ten attempts spread over 75 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Seconds to wait before each attempt.
SCHEDULE_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Waits are stretched by up to this share, so that what failed together does not come back together.
JITTER = 0.1
# Attempts in a row that ended without an outcome, until they count as a failure.
UNKNOWNS_TO_A_FAILURE = 3
SLOW_DOWN_STATUSES = frozenset({429, 502, 503, 504})
# An overloaded endpoint that does not say how long to wait is left alone for this long.
SLOW_DOWN_S = 1
GONE_PAUSE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to write after an attempt.

    `state` is the delivery's next state, `due_at` when it is next tried
    (None when it is not). `rest_until` asks to leave the whole endpoint
    alone; `is_gone` says that it answered 410.
    """

    outcome: str
    state: str
    failures: int
    unknowns: int = 0
    due_at: datetime | None = None
    rest_until: datetime | None = None
    is_gone: bool = False


def next_step(*, status: int | None, retry_after_s: int | None, failures: int, now: datetime, jitter: float) -> Step:
    """Say what follows an answer.

    `status` is None when there was none; `failures` counts the failed
    attempts before this one; `jitter` lies in 0..1 and is the caller's die.
    """
    if status is not None and 200 <= status < 300:
        return Step(outcome="delivered", state="delivered", failures=failures)
    rest_until = _rest_until(status, retry_after_s, now)
    due_at = _due_at(failures + 1, now, jitter)
    if due_at is None:
        return Step(outcome="failed", state="dead", failures=failures + 1, rest_until=rest_until, is_gone=status == 410)
    return Step(
        outcome="failed",
        state="pending",
        failures=failures + 1,
        due_at=max(due_at, rest_until or due_at),
        rest_until=rest_until,
        is_gone=status == 410,
    )


def after_unknown(*, failures: int, unknowns: int, now: datetime, jitter: float) -> Step:
    """Say what follows an attempt whose process vanished: try again at once, and do not advance the schedule.

    The third in a row counts as one failure: something about this delivery may be what kills.
    """
    if unknowns + 1 < UNKNOWNS_TO_A_FAILURE:
        return Step(outcome="unknown", state="pending", failures=failures, unknowns=unknowns + 1, due_at=now)
    due_at = _due_at(failures + 1, now, jitter)
    return Step(outcome="unknown", state="pending" if due_at else "dead", failures=failures + 1, due_at=due_at)


def _due_at(failures: int, now: datetime, jitter: float) -> datetime | None:
    if failures >= len(SCHEDULE_S):
        return None
    return now + timedelta(seconds=SCHEDULE_S[failures] * (1 + JITTER * jitter))


def _rest_until(status: int | None, retry_after_s: int | None, now: datetime) -> datetime | None:
    if status == 410:
        return now + GONE_PAUSE
    if status not in SLOW_DOWN_STATUSES:
        return None
    return now + timedelta(seconds=SLOW_DOWN_S if retry_after_s is None else retry_after_s)
