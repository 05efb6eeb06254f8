"""What a node says of a transaction, read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.receipts import MOST_MOVES, TokenMove, read_receipt
from tests.nodes.scripted import STRANGER, USDT, World

MINE = "0x" + "11" * 20


def a_receipt(**changes: Any) -> dict[str, Any]:
    """A receipt of one transfer."""
    logs = World().mine((STRANGER, MINE, 7)).logs
    return {"status": "0x1", "blockNumber": "0x7", "logs": logs} | changes


def test_a_receipt_tells_state_block_and_moves() -> None:
    """A transfer of any contract is one; a reverted one moves nothing."""
    found = read_receipt(a_receipt(), {})
    move = TokenMove(contract=USDT, sender=STRANGER, recipient=MINE, units=7)
    assert (found.state, found.block_number, found.moves) == ("mined", 7, (move,))
    assert read_receipt(a_receipt(status="0x0"), {}).state == "reverted"
    assert read_receipt(a_receipt(status="0x0"), {}).moves == ()


def test_without_a_receipt_it_is_pending_or_absent() -> None:
    """By whether the node has the transaction."""
    assert read_receipt(None, {"hash": "0x1"}).state == "pending"
    assert read_receipt(None, None).state == "absent"


def test_a_thing_that_is_no_sum_is_no_move_and_moves_are_bounded() -> None:
    """A collectible has a third topic."""
    (log,) = a_receipt()["logs"]
    collectible = log | {"topics": [*log["topics"], log["topics"][1]]}
    assert read_receipt(a_receipt(logs=[collectible]), {}).moves == ()
    assert len(read_receipt(a_receipt(logs=[log] * 500), {}).moves) == MOST_MOVES


@pytest.mark.parametrize(
    "receipt", [[], "0x", {}, {"status": "0x1", "logs": []}, {"logs": [1], "blockNumber": "0x1", "status": "0x1"}]
)
def test_what_is_no_receipt_is_refused(receipt: object) -> None:
    """The next node is asked."""
    with pytest.raises(ValueError, match="is not"):
        read_receipt(receipt, {})
