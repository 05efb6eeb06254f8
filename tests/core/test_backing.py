"""Which transfers a credit stands on, of those that a named transaction moved."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.backing import NONE, Backing, backing
from relay.core.evidence import Facts
from relay.core.facts import Named, Transfer
from relay.core.policies import Received
from tests.builders import NOON, an_order

HERE, THERE = "0x" + "a" * 40, "0x" + "b" * 40
PAID = Received(3_000_000, 100, 1)


def moved(log: int = 0, *, tx: str = "0x1", to: str = HERE, micros: int = 3_000_000) -> Transfer:
    """A final transfer on ethereum."""
    block: dict[str, Any] = {"block_number": 1, "block_hash": "0x1", "block_time": NOON, "contract": "", "sender": ""}
    key: dict[str, Any] = {"chain": "ethereum", "tx_hash": tx, "log_index": log}
    return Transfer(**block, **key, recipient=to, amount_micros=micros, is_final=True)


@pytest.mark.parametrize(
    ("order", "named", "expected"),
    [
        ({}, (), NONE),
        ({}, (Named(moved()),), Backing(takes=(("ethereum", "0x1", 0),))),
        ({}, (Named(moved(micros=7)),), Backing(takes=(("ethereum", "0x1", 0),))),
        ({}, (Named(moved(), taken_by="sh-9"),), Backing(tx_hash="0x1", taken_by=("sh-9",))),
        ({}, (Named(moved(), owner="2"),), NONE),
        ({"chain": "tron"}, (Named(moved()),), NONE),
        ({"address": THERE}, (Named(moved()),), NONE),
        (
            {"address": HERE},
            (Named(moved(micros=7)), Named(moved(1, to=THERE))),
            Backing(takes=(("ethereum", "0x1", 0),)),
        ),
        ({}, (Named(moved(micros=7)), Named(moved(1))), Backing(takes=(("ethereum", "0x1", 1),))),
        ({}, (Named(moved()), Named(moved(1))), NONE),
        ({}, (Named(moved(), taken_by="sh-9"), Named(moved(1))), Backing(takes=(("ethereum", "0x1", 1),))),
        ({}, (Named(moved(), taken_by="sh-9"), Named(moved(1, micros=7))), NONE),
    ],
)
def test_a_credit_takes_what_fits_and_is_free(
    order: dict[str, Any], named: tuple[Named, ...], expected: Backing
) -> None:
    """Of several the one of the right amount; none at all where it is not known which."""
    assert backing(an_order(**order), PAID, Facts(named=named)) == expected


def test_what_paid_the_order_already_is_not_named_again() -> None:
    """A transaction of which the order has its own log pays others by the rest; another one is looked at."""
    others = (Named(moved(1), taken_by="sh-9"), Named(moved(tx="0x2"), taken_by="sh-8"))
    assert backing(an_order(), PAID, Facts(transfers=(moved(),), named=others[:1])) == NONE
    assert backing(an_order(), PAID, Facts(transfers=(moved(),), named=others)).taken_by == ("sh-8",)
