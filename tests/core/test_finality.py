"""Finality per rule, and when a lost transfer is announced."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.chains import Chain, Token
from relay.core.finality import Lost, announcement, final_block
from tests.builders import NOON

CHAIN = Chain(
    name="ethereum",
    chain_id=1,
    tokens=(Token(contract="0x" + "a" * 40, decimals=6),),
    finality="finalized",
    block_ms=12_000,
    grace_s=600,
)
COUNTED = replace(CHAIN, finality="confirmations", confirmations=12)


@pytest.mark.parametrize(
    ("chain", "head", "tagged", "before", "expected"),
    [
        (CHAIN, 100, 36, None, 36),
        (CHAIN, 100, None, None, None),
        (CHAIN, 100, 20, 36, 36),
        (CHAIN, 100, 500, 36, 100),
        (COUNTED, 100, None, None, 88),
        (COUNTED, 5, None, None, None),
        (COUNTED, 90, None, 88, 88),
    ],
)
def test_what_is_final_only_grows(
    chain: Chain, head: int, tagged: int | None, before: int | None, expected: int | None
) -> None:
    """Nothing becomes unfinal, and no node is believed beyond its head."""
    assert final_block(chain, head=head, tagged=tagged, before=before) == expected


LOST = Lost(block_number=50, orphaned_at=NOON, back=False)
LATER = NOON + timedelta(seconds=600)


@pytest.mark.parametrize(
    ("lost", "final", "now", "expected"),
    [
        (LOST, 50, LATER, "recharge.reversed"),
        (LOST, 49, LATER, None),
        (LOST, None, LATER, None),
        (LOST, 50, LATER - timedelta(seconds=1), None),
        (replace(LOST, back=True), 50, LATER, None),
        (replace(LOST, orphaned_at=None), 50, LATER, None),
        (replace(LOST, reversed_at=LATER), 90, LATER, None),
        (replace(LOST, reversed_at=LATER, back=True), 90, LATER, "recharge.reinstated"),
        (replace(LOST, reversed_at=LATER, orphaned_at=None), 90, LATER, "recharge.reinstated"),
    ],
)
def test_a_reversal_waits_for_the_other_branch_and_for_the_grace(
    lost: Lost, final: int | None, now: object, expected: str | None
) -> None:
    """The usual case is that the transfer is mined again."""
    assert announcement(lost, CHAIN, final=final, now=now) == expected  # type: ignore[arg-type]  # the table holds times
