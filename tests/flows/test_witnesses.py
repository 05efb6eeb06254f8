"""What is stated of a finding was seen by two nodes, or is said to be seen by one; disagreement states nothing."""

from __future__ import annotations

from dataclasses import replace

from relay.core.facts import Transfer
from relay.core.logs import parse_log, transfer_of
from relay.flows import witnesses
from relay.flows.witnesses import confirm_absence
from tests.builders import NOON
from tests.nodes.scripted import STRANGER, ScriptedNode, World, a_chain

MINE = "0x" + "11" * 20
CHAIN = a_chain()


def paid() -> tuple[World, Transfer]:
    """A chain with one payment, and the transfer."""
    world = World()
    block = world.mine((STRANGER, MINE, 5))
    world.mine()
    moved = transfer_of(parse_log(block.logs[0]), CHAIN, block_time=NOON)
    assert moved is not None
    return world, moved


def agreed(found: witnesses.Testimony) -> tuple[int, bool, bool]:
    """How many agree, whether one objects, and whether that is enough."""
    return found.agree, found.contradicted, found.is_enough


def test_that_nothing_came_is_said_by_two_whose_heads_are_past_the_blocks() -> None:
    """A node that lags says nothing; one that has a transfer contradicts, unless it is known."""
    world, moved = paid()
    node, second = ScriptedNode(world), ScriptedNode(world, name="2:node")
    slow = ScriptedNode(world, name="3:slow", behind=2)
    assert agreed(confirm_absence([node, second], CHAIN, STRANGER, (0, 2), ())) == (2, False, True)
    assert agreed(confirm_absence([node, slow], CHAIN, STRANGER, (0, 2), ())) == (1, False, False)
    assert agreed(confirm_absence([node, second], CHAIN, MINE, (0, 2), ())) == (0, True, False)
    assert agreed(confirm_absence([node, second], CHAIN, MINE, (0, 2), {moved.key})) == (2, False, True)
    other = replace(moved, log_index=9)
    assert agreed(confirm_absence([node], CHAIN, MINE, (0, 2), {other.key})) == (0, True, False)


def test_a_node_that_bears_fewer_blocks_is_a_witness_too() -> None:
    """It is asked for as many as it bears, as a scan does; none would ever be confirmed by it."""
    world, _ = paid()
    for _ in range(30):
        world.mine()
    small = ScriptedNode(world, max_range=3)
    assert agreed(confirm_absence([small], CHAIN, STRANGER, (0, 30), ())) == (1, False, True)
    assert agreed(confirm_absence([small], CHAIN, MINE, (0, 30), ())) == (0, True, False)


def test_a_node_of_another_chain_or_token_is_no_witness() -> None:
    """There nothing ever came to the address."""
    world, _ = paid()
    elsewhere = [ScriptedNode(world, chain_id=5), ScriptedNode(world, decimals=18), ScriptedNode(world, lie="no code")]
    for node in elsewhere:
        assert agreed(confirm_absence([node], CHAIN, STRANGER, (0, 2), ())) == (0, False, False)
