"""The words of Multicall3, against a library that knows the ABI."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from relay.core.multicall import ask_balances, balance_of, parse_units, read_balances
from tests.nodes.multicall import MULTICALL, aggregate

TOKEN, MINE, HERS = "0x" + "a6" * 20, "0x" + "11" * 20, "0x" + "22" * 20
PARENT = "0x" + "ab" * 32


def test_balances_and_their_block_come_in_one_call() -> None:
    """A token that refuses one question leaves the others standing."""
    asked: list[tuple[str, str]] = []

    def answer(target: str, data: bytes) -> bytes | None:
        asked.append((target, "0x" + data.hex()))
        return None if data.hex().endswith(HERS[2:]) else (2**200).to_bytes(32, "big")

    told = aggregate(ask_balances(MULTICALL, [(TOKEN, MINE), (TOKEN, HERS)]), 77, PARENT, answer)
    assert asked == [(TOKEN, balance_of(MINE)), (TOKEN, balance_of(HERS))]
    weighed = read_balances(told, 2)
    assert (weighed.number, weighed.parent_hash, weighed.units) == (77, PARENT, (2**200, None))


@pytest.mark.parametrize(
    "told",
    [
        None,
        "0x",
        "0x12",
        "zz",
        "0x" + "ff" * 64,
        "0x" + encode(["(bool,bytes)[]"], [[(True, b"")] * 3]).hex(),
        "0x" + encode(["(bool,bytes)[]"], [[(True, bytes(32))] * 2]).hex(),
        "0x" + encode(["(bool,bytes)[]"], [[(True, bytes(32))] * 3]).hex()[:-2],
        "0x" + encode(["(bool,bytes)[]"], [[(True, b"\xff" * 32)] * 3]).hex(),
    ],
    ids=["null", "nothing", "cut", "no hex", "far offsets", "no block", "one less", "short", "a block beyond all"],
)
def test_another_shape_is_an_error(told: object) -> None:
    """Never a balance."""
    with pytest.raises(ValueError):  # noqa: PT011 each shape fails in its own words
        read_balances(told, 1)


def test_a_single_balance_is_one_word() -> None:
    """Nothing else."""
    assert parse_units("0x" + "0" * 63 + "5") == 5
    for told in (None, "0x", "0x5", "0x" + "0" * 62):
        with pytest.raises(ValueError, match="is not a balance"):
            parse_units(told)
