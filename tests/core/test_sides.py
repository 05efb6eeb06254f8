"""Witnesses beside each other: where they differ, by how much, and what a person can do."""

from __future__ import annotations

import pytest

from relay.core.sides import Side, compared, difference, next_step
from tests.builders import NOON

CALLBACK = Side(name="Callback", status="succeeded", micros=200_000_000, tx_hash="0xaa", at=NOON)
PROVIDER = Side(name="Provider", missing="not asked yet")
CHAIN = Side(name="Chain", status="final", micros=20_000_000, tx_hash="0xaa")


def test_what_differs_is_marked_and_what_is_absent_disagrees_with_nobody() -> None:
    """Paid in two words is one thing; absent is not zero; times are each witness's own."""
    lines = {line.field: line for line in compared([CALLBACK, PROVIDER, CHAIN])}
    assert {name: line.differs for name, line in lines.items()} == {
        "status": False,
        "micros": True,
        "tx_hash": False,
        "at": False,
    }
    assert lines["micros"].cells == (200_000_000, None, 20_000_000)


@pytest.mark.parametrize(
    ("sides", "credited", "sentence"),
    [
        (
            [CALLBACK, PROVIDER, CHAIN],
            0,
            "The witnesses are 180.000000 USDT apart: Callback 200.000000, Chain 20.000000.",
        ),
        (
            [CALLBACK],
            200_000_000,
            "Callback says 200.000000 USDT, and so much is credited: the difference is 0.000000.",
        ),
        (
            [CALLBACK, Side(name="Provider", micros=200_000_000)],
            0,
            "Callback and Provider say 200.000000 USDT; credited are 0.000000: 200.000000 USDT apart.",
        ),
        ([PROVIDER], 0, "No witness names an amount."),
        (
            [Side(name="A", micros=0), Side(name="B", micros=0), Side(name="C", micros=0)],
            0,
            "A, B and C say 0.000000 USDT, and so much is credited: the difference is 0.000000.",
        ),
    ],
)
def test_the_difference_is_said_in_one_sentence(sides: list[Side], credited: int, sentence: str) -> None:
    """Even when it is nothing."""
    assert difference(sides, credited) == sentence


def test_the_next_step_is_said_in_plain_words() -> None:
    """What is held needs an approver, what is disputed what its worst break asks for; most orders need nobody."""
    assert next_step("held", "above_limit").startswith("Held: the amount is above the limit of its source. Ask below")
    assert "awaited" in next_step("confirming", None)
    assert next_step("pending", None) == "Nothing to do: the payment is awaited."
    assert next_step("succeeded", None) == "Nothing to do."
    assert next_step("succeeded", None, ["delivery_gap", "clock_anomaly"]).startswith("Mend the service")
    assert next_step("created", None, ["missing_callback"]).startswith("Wait for the next run")
