"""How an endpoint does: slices that end now, shares that add up, latencies that were really measured."""

from __future__ import annotations

from datetime import timedelta

from relay.core.performance import SLICES, Try, performance, score
from tests.builders import NOON


def tries(*ago_s: float, succeeded: bool = True, latency_ms: int | None = 40) -> list[Try]:
    """Attempts so many seconds before noon."""
    return [Try(NOON - timedelta(seconds=one), succeeded, latency_ms) for one in ago_s]


def test_a_score_is_of_what_was_tried() -> None:
    """Nothing tried has no rate; the quantiles are values that were measured."""
    assert (score([]).rate, score([]).median_ms) == (None, None)
    mixed = [Try(NOON, place < 19, latency) for place, latency in enumerate(range(10, 210, 10))]
    told = score(mixed)
    assert (told.succeeded, told.failed, told.rate, told.median_ms, told.p95_ms) == (19, 1, 95.0, 100, 190)
    assert score(tries(1, latency_ms=None)).median_ms is None


def test_a_quiet_endpoint_is_looked_at_over_a_day() -> None:
    """What is older is left out, what is of this moment is the last slice's."""
    told = performance([*tries(1, 3_599), *tries(86_399, succeeded=False), *tries(90_000)], now=NOON, is_all=True)
    assert told.span == timedelta(hours=1)
    assert [
        (place, one.succeeded, one.failed) for place, (_, one) in enumerate(told.slices) if one.rate is not None
    ] == [
        (0, 0, 1),
        (SLICES - 1, 2, 0),
    ]
    assert (told.whole.succeeded, told.whole.failed) == (2, 1)


def test_a_busy_endpoint_is_looked_at_closely() -> None:
    """No slice reaches back before the first that was read: a part of an hour would look like a fall."""
    told = performance(tries(*range(1, 150)), now=NOON, is_all=False)
    assert told.span == timedelta(seconds=5)
    assert all(one.succeeded in (4, 5) for _, one in told.slices)
    assert performance([], now=NOON, is_all=False).whole.rate is None
