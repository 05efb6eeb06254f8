"""A node that fails over in the middle of a round changes nothing of how its orders end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from relay.core.chains import NodeURL
from relay.flows.reconcile import Bench, reconcile
from relay.flows.reversals import Court, judge_reorgs
from relay.store.engine import reading
from relay.store.rows import breaks, events, match_states, matches, orders, transfers
from tests.flows.test_matching import BY_CHAIN, Matcher, an_open_order
from tests.flows.test_scan import MINE, Desk, Dropping
from tests.nodes.scripted import STRANGER, ScriptedNode, a_chain, moved

# What a person, a subscriber and finance see of how it ended.
SEEN: dict[str, tuple[Any, ...]] = {
    "orders": (orders.c.orderid, orders.c.state, orders.c.credited_micros),
    "events": (events.c.type, events.c.orderid, events.c.delta_micros),
    "transfers": (transfers.c.amount_micros, transfers.c.block_number, transfers.c.is_final),
    "matches": (matches.c.orderid, matches.c.rule),
    "verdicts": (match_states.c.orderid, match_states.c.verdict, match_states.c.flags),
    "breaks": (breaks.c.kind, breaks.c.state),
}
STEPS = ("pay", "lose", "bring back", "finalise")


class Night:
    """An order is paid, its block is replaced, and the payment is mined again; scans fail over as the test says."""

    def __init__(self, engine: Engine) -> None:
        nodes = tuple(NodeURL(name=f"{number}:node", url="https://node.example") for number in (1, 2))
        self.source = replace(BY_CHAIN, recover="off")
        self.desk, self.matcher = Desk(engine, a_chain(grace_s=1_200, nodes=nodes)), Matcher(engine, self.source)
        self.world = self.desk.world
        self.desk.watch(MINE)
        self.desk.scan()
        an_open_order(engine, address=MINE)

    def play(self, step: str) -> None:
        """Let one thing happen on the chain."""
        match step:
            case "pay":
                self.paid = self.world.mine((STRANGER, MINE, 3_000_000))
                self.matcher.at = self.desk.now
                self.matcher.receive()
            case "lose":
                self.world.reorg(1)
                self.world.mine()
                self.world.mine()
            case "bring back":
                block = self.world.mine()
                block.logs.append(moved(self.paid.logs[0], block, 0))
            case "finalise":
                self.world.final = self.world.head

    def round(self, asks: int | None) -> None:
        """Do what the jobs do, the first node being gone after so many questions (None: it stays)."""
        second = ScriptedNode(self.world, name="2:node")
        nodes = [second] if asks is None else [Dropping(self.world, name="1:dropping", asks=asks), second]
        assert self.desk.scan(*nodes, later=timedelta(minutes=20)) == "scanned"
        now, chains = self.desk.now, {"ethereum": self.desk.chain}
        self.matcher.match(at=now)
        engine, new_id = self.desk.engine, self.matcher.new_id
        judge_reorgs(Court(engine=engine, chains=chains, nodes_of=lambda _: nodes, new_id=new_id), now=now)
        bench = Bench(engine=engine, sources={"crossing": self.source}, chains=chains, new_id=new_id, owner="me")
        assert reconcile(bench, now=now) == "complete"

    def end(self) -> dict[str, list[tuple[Any, ...]]]:
        """How everything stands."""
        with reading(self.desk.engine) as connection:
            found = {name: connection.execute(select(*columns)).all() for name, columns in SEEN.items()}
        return {name: sorted((tuple(row) for row in rows), key=repr) for name, rows in found.items()}


@pytest.mark.parametrize("asks", [None, *range(6)])
def test_a_node_that_fails_over_in_the_middle_ends_in_the_same_state(engine: Engine, asks: int | None) -> None:
    """At whichever of its questions, in the round after each thing that happens; None: nobody fails."""
    night = Night(engine)
    for step in STEPS:
        night.play(step)
        night.round(asks)
    assert night.end() == {
        "orders": [("sh-1", "succeeded", 3_000_000)],
        "events": [("recharge.succeeded", "sh-1", 3_000_000)],
        "transfers": [(3_000_000, night.world.head, True)],
        "matches": [("sh-1", "address")],
        "verdicts": [("sh-1", "matched", "")],
        "breaks": [],
    }
