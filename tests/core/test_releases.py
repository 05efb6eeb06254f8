"""Releases: the four ends of a hold, and what each refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.orders import Order, State
from relay.core.releases import Act, Announced, Release, release
from relay.errors import Conflict, RequestRejected, Unprocessable
from tests.builders import an_order

NONE, CREDITED = Announced(credit=False, reversals=0), Announced(credit=True, reversals=0)


def held(credited: int = 0, **changes: Any) -> Order:
    """A held order of 3 USDT."""
    return an_order(state="held", version=2, held_reason="above_limit", credited_micros=credited, **changes)


def wish(act: str, micros: int | None = None) -> Release:
    """A person's word."""
    return Release(act=Act(act), reason="asked the provider", micros=micros)


ENDS = [
    (held(), NONE, wish("credit"), ("succeeded", 3_000_000, "recharge.succeeded", None)),
    (held(), NONE, wish("credit", 1_000_000), ("succeeded", 1_000_000, "recharge.succeeded", None)),
    (held(3_000_000), CREDITED, wish("adjust", 500_000), ("succeeded", 3_500_000, "recharge.adjusted", 500_000)),
    (held(3_000_000), CREDITED, wish("adjust", -3_000_000), ("refunded", 0, "recharge.adjusted", -3_000_000)),
    (held(), CREDITED, wish("adjust", 2_000_000), ("succeeded", 2_000_000, "recharge.adjusted", 2_000_000)),
    (held(3_000_000), CREDITED, wish("reverse"), ("reversed", 0, "recharge.reversed", -3_000_000)),
    (held(3_000_000), CREDITED, wish("discard"), ("succeeded", 3_000_000, "recharge.adjusted", 0)),
    (held(), NONE, wish("discard"), ("failed", 0, "recharge.failed", None)),
]


@pytest.mark.parametrize(("order", "announced", "wished", "end"), ENDS)
def test_a_hold_ends_in_one_of_four_ways(
    order: Order, announced: Announced, wished: Release, end: tuple[str, int, str, int | None]
) -> None:
    """The order, the event and the signed difference agree, and the operator is named as the origin."""
    ruling = release(order, wished, announced)
    after, delta = ruling.order, ruling.change and ruling.change.delta_micros
    assert after is not None
    assert (after.state, after.credited_micros, ruling.announce, delta) == end
    assert (after.version, ruling.origin) == (order.version + 1, "operator")
    if order.credited_micros:
        assert after.credited_micros == order.credited_micros + (delta or 0)


REFUSALS: list[tuple[Order, Announced, Release, type[RequestRejected]]] = [
    (an_order(), CREDITED, wish("discard"), Conflict),
    (held(3_000_000), CREDITED, wish("credit"), Conflict),
    (held(), CREDITED, wish("credit"), Conflict),
    (held(flags=frozenset({"observed"})), NONE, wish("credit"), Conflict),
    (held(amount_micros=None), NONE, wish("credit"), Unprocessable),
    (held(), NONE, wish("credit", 0), Unprocessable),
    (held(), NONE, wish("adjust", 1), Conflict),
    (held(3_000_000), CREDITED, wish("adjust"), Unprocessable),
    (held(3_000_000), CREDITED, wish("adjust", 0), Unprocessable),
    (held(3_000_000), CREDITED, wish("adjust", -3_000_001), Unprocessable),
    (held(9 * 10**18), CREDITED, wish("adjust", 10**18), Unprocessable),
    (held(), NONE, wish("reverse"), Conflict),
    (held(3_000_000), CREDITED, wish("reverse", 1), Unprocessable),
    (held(), NONE, wish("discard", 1), Unprocessable),
]


@pytest.mark.parametrize(("order", "announced", "wished", "error"), REFUSALS)
def test_what_does_not_fit_is_refused(
    order: Order, announced: Announced, wished: Release, error: type[RequestRejected]
) -> None:
    """One credit ever, no more taken back than was given, no release of what is not held."""
    with pytest.raises(error):
        release(order, wished, announced)


def test_a_credit_that_nobody_holds_is_adjusted_by_two() -> None:
    """Nothing else is done to it, and nothing by one; a reversed one waits for its transfer."""
    credited = an_order(credited_micros=3_000_000)
    ruling = release(credited, wish("adjust", -1_000_000), CREDITED, by_two=True)
    assert ruling.order is not None
    assert (ruling.order.credited_micros, ruling.announce) == (2_000_000, "recharge.adjusted")
    for order, wished, by_two in (
        (credited, wish("adjust", -1_000_000), False),
        (credited, wish("reverse"), True),
        (credited, wish("discard"), True),
        (replace(credited, state=State.REVERSED, credited_micros=0), wish("adjust", 1), True),
        (replace(credited, state=State.CREATED, credited_micros=0), wish("adjust", 1), True),
    ):
        with pytest.raises(Conflict):
            release(order, wished, CREDITED, by_two=by_two)


def test_each_reversal_has_a_number() -> None:
    """The generation grows, so that a reversal is never taken for the one before."""
    ruling = release(held(3_000_000), wish("reverse"), Announced(credit=True, reversals=2))
    assert ruling.change is not None
    assert ruling.change.generation == 3
