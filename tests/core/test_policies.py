"""Amounts: how payments add up, and what each policy says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.callbacks import Callback, Status
from relay.core.policies import Received, assess, part_of, received, scale_error
from tests.builders import a_callback, a_source, an_order, paying
from tests.core.examples import preset

INCREMENTS = replace(preset(), amount_counts="increment")
EXACT = {"amount_policy": "exact"}
TOLERANT = {"amount_policy": "tolerance", "tolerance_micros": 50_000}
SUMMED = {"amount_policy": "accumulate"}

# policy, received micros, expected micros -> outcome, flags, reason; the unit is 100 micros.
ASSESSMENTS = [
    ({}, 3_000_000, None, ("credit", "", None)),
    ({}, 2_000_000, 3_000_000, ("credit", "partial", None)),
    ({}, 4_000_000, 3_000_000, ("credit", "overpaid", None)),
    ({}, 300_000_000, 3_000_000, ("credit", "overpaid", None)),
    ({}, 0, None, ("hold", "", "below_minimum")),
    ({"minimum_micros": 5_000_000}, 3_000_000, None, ("hold", "", "below_minimum")),
    (EXACT, 3_000_000, None, ("hold", "", "no_expected_amount")),
    (EXACT, 3_000_099, 3_000_000, ("credit", "", None)),
    (EXACT, 2_999_901, 3_000_000, ("credit", "", None)),
    (EXACT, 2_999_900, 3_000_000, ("wait", "partial", None)),
    (EXACT, 3_000_100, 3_000_000, ("hold", "overpaid", "overpaid")),
    (EXACT, 300_000_000, 3_000_000, ("hold", "overpaid", "scale_error_x100")),
    (TOLERANT, 2_950_000, 3_000_000, ("credit", "", None)),
    (TOLERANT, 3_050_000, 3_000_000, ("credit", "", None)),
    (TOLERANT, 2_949_999, 3_000_000, ("wait", "partial", None)),
    (TOLERANT, 3_050_001, 3_000_000, ("hold", "overpaid", "overpaid")),
    (TOLERANT, 3_000_000, None, ("hold", "", "no_expected_amount")),
    (SUMMED, 2_999_900, 3_000_000, ("wait", "partial", None)),
    (SUMMED, 2_999_901, 3_000_000, ("credit", "", None)),
    (SUMMED, 9_000_000, 3_000_000, ("credit", "overpaid", None)),
    (SUMMED, 3_000_000, None, ("hold", "", "no_expected_amount")),
]


@pytest.mark.parametrize(("policy", "micros", "expected", "answer"), ASSESSMENTS)
def test_each_policy_judges_what_was_received(
    policy: dict[str, Any], micros: int, expected: int | None, answer: tuple[str, str, str | None]
) -> None:
    """Apart by less than the unit is equal; more and less are each policy's own affair."""
    order = an_order(expected_micros=expected, credited_micros=0)
    found = assess(Received(micros, 100, 1), order, a_source(**policy))
    assert (found.outcome, " ".join(found.flags), found.reason) == answer


@pytest.mark.parametrize(
    ("micros", "expected", "name"),
    [
        (30_000_000_000, 3_000_000, "scale_error_x10000"),
        (300, 3_000_000, "scale_error_x1/10000"),
        (3_000_000, 3_000_000, None),
        (6_000_000, 3_000_000, None),
        (0, 3_000_000, None),
        (3_000_000, None, None),
    ],
)
def test_a_difference_of_scale_has_a_name(micros: int, expected: int | None, name: str | None) -> None:
    """A power of ten between two sums is a misunderstanding about units, not a payment."""
    assert scale_error(micros, expected) == name


PARTS = [
    ({}, a_callback(tx_hash="0xa"), ""),
    (EXACT, a_callback(tx_hash="0xa"), "0xa"),
    ({"adapter": INCREMENTS}, a_callback(tx_hash="0xa"), "0xa"),
    ({"adapter": INCREMENTS}, a_callback(), ""),
    ({}, a_callback(status=Status.UNKNOWN, raw_status="on ice"), "on ice"),
    ({}, a_callback(status=Status.PENDING), "30000"),
]


@pytest.mark.parametrize(("settings", "callback", "part"), PARTS)
def test_a_part_is_the_transaction_where_there_may_be_several(
    settings: dict[str, Any], callback: Callback, part: str
) -> None:
    """Elsewhere a second transaction contradicts the first."""
    assert part_of(callback, a_source(**settings)) == part


def payments(*micros: int) -> list[Callback]:
    """Payments of one order, each in its own transaction."""
    return [paying(one, part=f"0x{place}", tx_hash=f"0x{place}") for place, one in enumerate(micros)]


def test_increments_are_summed_and_totals_are_not() -> None:
    """Of totals the largest is the latest, whichever came first."""
    *known, last = payments(1_000_000, 5_000_000, 2_000_000)
    assert received(last, known, a_source(adapter=INCREMENTS)) == Received(8_000_000, 100, 3)
    assert received(last, known, a_source(**EXACT)) == Received(5_000_000, 100, 3)


def test_what_is_disputed_or_not_paid_counts_for_nothing() -> None:
    """Neither conflicts, nor words that speak of no money, nor other orders add to the sum."""
    first, second = payments(1_000_000, 2_000_000)
    known = [
        replace(first, flags=frozenset({"conflict"})),
        replace(first, status=Status.PENDING),
        replace(first, orderid="sh-2"),
    ]
    assert received(second, known, a_source(adapter=INCREMENTS)).micros == 2_000_000
