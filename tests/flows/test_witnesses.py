"""What is stated of a finding was seen by two nodes, or is said to be seen by one; disagreement states nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from relay.core.facts import Transfer
from relay.core.logs import parse_log, transfer_of
from relay.errors import NodeFault
from relay.flows import witnesses
from relay.flows.witnesses import confirm_absence, confirm_transfer
from tests.builders import NOON
from tests.nodes.scripted import STRANGER, ScriptedNode, World, a_chain

MINE = "0x" + "11" * 20
CHAIN = a_chain()


class Clerk:
    """A node that knows one receipt."""

    def __init__(self, receipt: object) -> None:
        self.name, self.receipt = "1:clerk", receipt

    def ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[object]:
        """Answer, or be away."""
        if self.receipt == "away":
            raise NodeFault(self.name, code="timeout")
        return [self.receipt for _ in calls]


def paid() -> tuple[World, Transfer, dict[str, Any]]:
    """A chain with one payment, the transfer, and its receipt."""
    world = World()
    block = world.mine((STRANGER, MINE, 5))
    world.mine()
    moved = transfer_of(parse_log(block.logs[0]), CHAIN, block_time=NOON)
    assert moved is not None
    return world, moved, {"status": "0x1", "logs": block.logs}


def agreed(found: witnesses.Testimony) -> tuple[int, bool, bool]:
    """How many agree, whether one objects, and whether that is enough."""
    return found.agree, found.contradicted, found.is_enough


def test_a_transfer_is_confirmed_by_receipt_block_and_log() -> None:
    """Two nodes are two witnesses; the only one is said to be one."""
    _, moved, receipt = paid()
    found = confirm_transfer([Clerk(receipt), Clerk(receipt)], CHAIN, moved)
    assert (agreed(found), found.words) == ((2, False, True), "2 witnesses")
    alone = confirm_transfer([Clerk(receipt)], CHAIN, moved)
    assert (agreed(alone), alone.words) == ((1, False, True), "one witness")
    assert agreed(confirm_transfer([Clerk(receipt), Clerk("away")], CHAIN, moved)) == (1, False, False)


@pytest.mark.parametrize("case", ["none", "failed", "other block", "other amount", "no logs", "nonsense"])
def test_a_node_that_has_it_otherwise_contradicts(case: str) -> None:
    """Whatever the others say, the finding is not stated."""
    _, moved, receipt = paid()
    log = receipt["logs"][0]
    told = {
        "none": None,
        "failed": receipt | {"status": "0x0"},
        "other block": receipt | {"logs": [log | {"blockHash": "0x" + "ee" * 32}]},
        "other amount": receipt | {"logs": [log | {"data": f"0x{6:064x}"}]},
        "no logs": receipt | {"logs": []},
        "nonsense": receipt | {"logs": [1]},
    }[case]
    assert agreed(confirm_transfer([Clerk(receipt), Clerk(receipt), Clerk(told)], CHAIN, moved)) == (2, True, False)


def test_that_nothing_came_is_said_by_two_whose_heads_are_past_the_blocks() -> None:
    """A node that lags says nothing; one that has a transfer contradicts, unless it is known."""
    world, moved, _ = paid()
    node, second = ScriptedNode(world), ScriptedNode(world, name="2:node")
    slow = ScriptedNode(world, name="3:slow", behind=2)
    assert agreed(confirm_absence([node, second], CHAIN, STRANGER, (0, 2), [])) == (2, False, True)
    assert agreed(confirm_absence([node, slow], CHAIN, STRANGER, (0, 2), [])) == (1, False, False)
    assert agreed(confirm_absence([node, second], CHAIN, MINE, (0, 2), [])) == (0, True, False)
    assert agreed(confirm_absence([node, second], CHAIN, MINE, (0, 2), [moved])) == (2, False, True)
    other = replace(moved, log_index=9)
    assert agreed(confirm_absence([node], CHAIN, MINE, (0, 2), [other])) == (0, True, False)
