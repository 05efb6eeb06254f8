"""Own how well an endpoint does lately: its attempts in slices of time, with the share that succeeded and how long they took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SLICES = 24
# What a slice may be long: a busy endpoint is looked at closely, a quiet one over a day.
_SPANS = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 15, 60, 300, 900, 3_600))


@dataclass(frozen=True, slots=True)
class Try:
    """An exchange that has ended; `latency_ms` None where nothing was measured."""

    started_at: datetime
    succeeded: bool
    latency_ms: int | None


@dataclass(frozen=True, slots=True)
class Score:
    """Some tries together; latencies in milliseconds, None where there is none."""

    succeeded: int
    failed: int
    median_ms: int | None
    p95_ms: int | None

    @property
    def rate(self) -> float | None:
        """The share that succeeded, in percent; None where nothing was tried."""
        tried = self.succeeded + self.failed
        return self.succeeded * 100 / tried if tried else None


@dataclass(frozen=True, slots=True)
class Performance:
    """The last SLICES slices of time, oldest first, each with its beginning, and all of them together."""

    span: timedelta
    slices: tuple[tuple[datetime, Score], ...]
    whole: Score


def score(tries: Sequence[Try]) -> Score:
    """Return what some tries come to."""
    took = sorted(one.latency_ms for one in tries if one.latency_ms is not None)
    succeeded = sum(one.succeeded for one in tries)
    return Score(succeeded, len(tries) - succeeded, _quantile(took, 0.5), _quantile(took, 0.95))


def performance(tries: Sequence[Try], *, now: datetime, is_all: bool) -> Performance:
    """Cut the time before `now` into slices; unless the tries are all there were, no slice reaches back before the first of them."""
    span = _SPANS[-1]
    if not is_all:
        known = now - min((one.started_at for one in tries), default=now)
        span = max((one for one in _SPANS if one * SLICES <= known), default=_SPANS[0])
    begins = [now - span * (SLICES - place) for place in range(SLICES)]
    within: list[list[Try]] = [[] for _ in begins]
    for one in tries:
        place = (one.started_at - begins[0]) // span
        if 0 <= place < SLICES:
            within[place].append(one)
    slices = tuple((begin, score(part)) for begin, part in zip(begins, within, strict=True))
    return Performance(span, slices, score([one for part in within for one in part]))


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
