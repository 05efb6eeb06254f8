"""What is taken back when a transfer is gone, and given again when it is back."""

from __future__ import annotations

import pytest

from relay.core.reversals import reinstate, reverse
from tests.builders import an_order


@pytest.mark.parametrize(
    ("standing", "state", "credited", "delta"),
    [(0, "reversed", 0, -3_000_000), (1_000_000, "succeeded", 1_000_000, -2_000_000)],
)
def test_what_nothing_stands_behind_is_taken_back(standing: int, state: str, credited: int, delta: int) -> None:
    """Of several payments only the part that is no longer covered."""
    ruling = reverse(an_order(), standing_micros=standing, generation=2, evidence={"chain": "tron"})
    assert ruling.order is not None
    assert ruling.change is not None
    assert ruling.finding is not None
    assert (ruling.order.state, ruling.order.credited_micros, ruling.order.version) == (state, credited, 2)
    assert (ruling.announce, ruling.change.delta_micros, ruling.change.generation) == ("recharge.reversed", delta, 2)
    assert (ruling.finding.severity, ruling.finding.amount_micros) == (1, -delta)


def test_a_credit_that_others_cover_stands() -> None:
    """The money came twice, and once is left."""
    assert reverse(an_order(), standing_micros=3_000_000, generation=1, evidence={}).announce is None


@pytest.mark.parametrize(("before", "after"), [("reversed", "succeeded"), ("succeeded", "succeeded"), ("held", "held")])
def test_what_came_back_is_given_again(before: str, after: str) -> None:
    """A hold stays a person's to end."""
    ruling = reinstate(an_order(state=before, credited_micros=1), micros=2, generation=1)
    assert ruling.order is not None
    assert (ruling.announce, ruling.order.state, ruling.order.credited_micros) == ("recharge.reinstated", after, 3)
