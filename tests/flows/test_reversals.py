"""Credits that lost their transfer, on both databases: taken back once, when it is sure, and given again once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from relay.core.chains import NodeURL
from relay.errors import NodeFault
from relay.flows import reversals, witnesses
from relay.flows.reconcile import Bench, reconcile
from relay.flows.reversals import Court, judge_reorgs
from relay.flows.witnesses import ask_whether_gone
from relay.ports import NodeError
from relay.store import testimonies
from relay.store.engine import reading
from relay.store.rows import breaks, events, runs
from tests.flows.test_matching import Matcher, an_open_order
from tests.flows.test_scan import MINE, Desk
from tests.nodes.scripted import STRANGER, Block, a_chain, moved


class Witness:
    """A node that is asked for receipts and says one thing."""

    def __init__(self, says: Any = None, *, chain_id: int = 1, has_blocks: bool = True) -> None:
        self.name, self.says, self.chain_id, self.has_blocks = "1:witness", says, chain_id, has_blocks

    def ask(self, calls: Any) -> list[object]:
        """Answer, or fail."""
        if isinstance(self.says, Exception):
            raise self.says
        return [self.answer(method, given[0] if given else "") for method, given in calls]

    def answer(self, method: str, asked: str) -> object:
        """Answer one question."""
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            block = {"number": asked, "hash": "0x" + "1" * 64, "parentHash": "0x" + "0" * 64, "timestamp": "0x1"}
            return block if self.has_blocks else None
        return self.receipt(asked)

    def receipt(self, tx_hash: str) -> object:
        """What it says of a transaction."""
        return self.says


GONE, STANDS, REVERTED = Witness(), Witness({"status": "0x1"}), Witness({"status": "0x0"})
SILENT, REFUSES = Witness(NodeFault("1:witness", code="timeout")), Witness(NodeError(-32000, "busy"))


class StandsOnly(Witness):
    """One to which a single transaction stands."""

    def __init__(self, tx_hash: str) -> None:
        super().__init__()
        self.tx_hash = tx_hash

    def receipt(self, tx_hash: str) -> object:
        """Answer by the transaction."""
        return {"status": "0x1"} if tx_hash == self.tx_hash else None


class Story:
    """An order that was credited by a callback while its transfer was not final."""

    def __init__(self, engine: Engine) -> None:
        self.desk, self.matcher = Desk(engine, a_chain(grace_s=1_200)), Matcher(engine)
        self.nodes = [GONE]
        self.desk.watch(MINE)
        self.desk.scan()
        an_open_order(engine, address=MINE)
        self.paid = self.desk.world.mine((STRANGER, MINE, 3_000_000))
        self.go_on()
        self.matcher.receive()
        assert self.order == ("succeeded", 3_000_000)

    def go_on(self, *, minutes: int = 1) -> int:
        """Let time pass and the job come by; return how many orders changed."""
        self.desk.scan(later=timedelta(minutes=minutes))
        now = self.desk.now
        self.matcher.match(at=now)
        court = Court(
            engine=self.desk.engine,
            chains={"ethereum": self.desk.chain},
            nodes_of=lambda _: self.nodes,
            new_id=self.matcher.new_id,
        )
        return judge_reorgs(court, now=now)

    def doubts(self) -> dict[str, str]:
        """What nodes do not confirm."""
        with reading(self.desk.engine) as connection:
            return testimonies.doubts(connection, "contradicted", "unanswered")

    def run(self) -> tuple[str, str]:
        """Let the reconciler come by; return how its run ended, and why."""
        chain = replace(self.desk.chain, nodes=(NodeURL(name="1:node", url="https://node.example"),))
        bench = Bench(
            engine=self.desk.engine,
            sources={"crossing": self.matcher.source},
            chains={"ethereum": chain},
            new_id=self.matcher.new_id,
            owner="me",
        )
        reconcile(bench, now=self.desk.now)
        row = self.matcher.rows(runs)[-1]
        return row.state, row.reason

    def lose(self) -> None:
        """Replace the block without the transfer."""
        self.desk.world.reorg(1)
        self.desk.world.mine()
        self.desk.world.mine()

    def finalise(self) -> None:
        """Let the chain call its head final."""
        self.desk.world.final = self.desk.world.head

    def bring_back(self, *, index: int = 0) -> Block:
        """Mine the transaction again."""
        block = self.desk.world.mine()
        block.logs.append(moved(self.paid.logs[0], block, index))
        return block

    @property
    def order(self) -> tuple[str, int]:
        """Where the order stands."""
        row = self.matcher.order()
        return row.state, row.credited_micros

    @property
    def told(self) -> list[tuple[str, int | None]]:
        """What subscribers heard."""
        return [(row.type, row.generation) for row in self.matcher.rows(events) if row.type.startswith("recharge.")]


@pytest.fixture
def story(engine: Engine) -> Story:
    """The story so far."""
    return Story(engine)


def test_a_loss_is_announced_once_when_the_other_branch_is_final_and_the_grace_is_over(story: Story) -> None:
    """Not before, and not again."""
    story.lose()
    story.go_on()
    story.finalise()
    assert story.go_on(minutes=19) == 0
    assert story.go_on(minutes=1) == 1
    assert story.go_on(minutes=20) == 0
    assert story.order == ("reversed", 0)
    assert story.told == [("recharge.succeeded", None), ("recharge.reversed", 1)]
    body = json.loads(next(row.body for row in story.matcher.rows(events) if row.type == "recharge.reversed"))["data"]
    assert (body["delta_micros"], body["reason"], body["generation"]) == (-3_000_000, "reorged_out", 1)
    assert (body["transfer"]["block_number"], body["transfer"]["confirmations"]) == (1, 0)
    (found,) = story.matcher.rows(breaks)
    assert (found.kind, found.severity, found.state, found.amount_micros) == ("reorged_out", 1, "open", 3_000_000)
    assert json.loads(found.evidence)["witnesses"] == "one witness"


def test_a_branch_that_is_not_final_takes_nothing_away(story: Story) -> None:
    """However long it stands."""
    story.lose()
    story.go_on()
    assert story.go_on(minutes=60) == 0
    story.finalise()
    assert story.go_on() == 1


@pytest.mark.parametrize("index", [0, 3])
def test_a_transfer_that_is_mined_again_within_the_grace_is_no_loss(story: Story, index: int) -> None:
    """The usual case, at whatever place in its block."""
    story.lose()
    story.go_on()
    story.bring_back(index=index)
    story.go_on()
    story.finalise()
    assert story.go_on(minutes=60) == 0
    assert story.go_on(minutes=60) == 0
    assert story.order == ("succeeded", 3_000_000)


@pytest.mark.parametrize("index", [0, 3])
def test_what_comes_back_later_is_reinstated_once_it_is_final_and_the_break_is_closed(story: Story, index: int) -> None:
    """By its generation a subscriber knows which reversal is undone."""
    story.lose()
    story.go_on()
    story.finalise()
    assert story.go_on(minutes=30) == 1
    story.bring_back(index=index)
    assert story.go_on() == 0
    story.finalise()
    assert story.go_on() == 1
    assert story.order == ("succeeded", 3_000_000)
    assert [row.state for row in story.matcher.rows(breaks)] == ["resolved"]
    assert story.told[1:] == [("recharge.reversed", 1), ("recharge.reinstated", 1)]
    assert story.go_on(minutes=60) == 0


def test_a_second_witness_must_agree_where_there_is_one(story: Story) -> None:
    """One that objects, or is silent, keeps the loss from being stated."""
    story.lose()
    story.go_on()
    story.finalise()
    for nodes in ([GONE, STANDS], [GONE, SILENT], [GONE, REFUSES]):
        story.nodes = nodes
        assert story.go_on(minutes=30) == 0
        assert list(story.doubts()) == ["ethereum"]
    assert story.order == ("succeeded", 3_000_000)
    story.nodes = [GONE, REVERTED]
    assert story.go_on() == 1
    assert story.doubts() == {}
    assert json.loads(story.matcher.rows(breaks)[0].evidence)["witnesses"] == "2 witnesses"


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [([GONE, STANDS], "nodes disagree about 1 finding"), ([GONE, SILENT], "no second node confirms 1 finding")],
)
def test_nodes_that_disagree_about_a_loss_make_the_run_incomplete(
    story: Story, nodes: list[Witness], reason: str
) -> None:
    """With the reason, until they agree or the money is back."""
    story.lose()
    story.go_on()
    story.finalise()
    story.nodes = nodes
    story.go_on(minutes=30)
    assert story.run() == ("incomplete", f"ethereum {reason}")
    story.bring_back()
    story.finalise()
    story.go_on()
    assert story.run() == ("complete", "")


def test_a_loss_that_nodes_go_on_doubting_keeps_no_other_waiting(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one run may ask about goes to those that were not asked about for the longest, and the doubt stays written."""
    monkeypatch.setattr(reversals, "MOST", 1)
    other = "0x" + "22" * 20
    story.desk.watch(other)
    an_open_order(story.desk.engine, "sh-2", address=other)
    paid = story.desk.world.mine((STRANGER, other, 3_000_000))
    story.go_on()
    story.matcher.receive(orderid="sh-2", signature="2")
    story.desk.world.reorg(2)
    for _ in range(4):
        story.desk.world.mine()
    story.go_on()
    story.finalise()
    for doubted, said in ((story.paid, "sh-2"), (paid, "sh-1")):
        story.nodes = [StandsOnly(doubted.logs[0]["transactionHash"])]
        assert [story.go_on(minutes=30) for _ in range(2)].count(1) == 1
        assert story.matcher.order(said).state == "reversed"
        assert bool(story.doubts()) is (doubted is story.paid)


def test_a_chain_that_is_configured_no_longer_states_nothing(story: Story) -> None:
    """Nobody can be asked about it."""
    story.lose()
    story.go_on()
    story.finalise()
    story.go_on()
    court = Court(engine=story.desk.engine, chains={}, nodes_of=lambda _: [], new_id=story.matcher.new_id)
    assert judge_reorgs(court, now=story.desk.now + timedelta(days=1)) == 0


def asked_of(*nodes: Witness) -> witnesses.Testimony:
    """What nodes say of a transaction, block 7 being final."""
    return ask_whether_gone(nodes, a_chain(), "0x1", final=7)


def test_nodes_that_contradict_each_other_are_told_apart() -> None:
    """Who is silent is no witness."""
    found = asked_of(GONE, REVERTED, SILENT, REFUSES)
    assert (found.agree, found.asked, found.contradicted, found.is_enough) == (2, 4, False, True)
    assert not asked_of().is_enough
    assert not asked_of(GONE, GONE, STANDS).is_enough


def test_who_never_heard_of_a_transaction_is_no_witness_that_it_is_gone() -> None:
    """A node of another chain by mistake, and one that has not come so far yet, have no receipt either."""
    elsewhere, behind = Witness(chain_id=56), Witness(has_blocks=False)
    assert asked_of(GONE, elsewhere).agree == asked_of(GONE, behind).agree == 1
    assert not asked_of(GONE, elsewhere).is_enough
