"""A transaction is explained from SQL where a scan has read it, and by the nodes where none has, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from relay.core.chains import Chain, NodeURL
from relay.core.explaining import Explanation
from relay.errors import NodeFault, TooMany, Unavailable, Unprocessable
from relay.flows.explaining import FRESH, JOB, MOST_OPEN, PATIENCE, Inquirer, ask_nodes, look_up, machine_hash
from relay.ports import NodeError
from relay.store.engine import reading
from relay.store.rows import chains, inquiries, matches
from tests.builders import NOON
from tests.nodes.scripted import COUNTERFEIT, STRANGER, World, a_chain
from tests.rows import a_stored_callback, a_stored_order, a_stored_transfer, add, an_address

HERE = "0x" + "a" * 40
TX = f"0x{1:064x}"
ON = a_chain(nodes=(NodeURL(name="1:node", url="http://localhost"),))


class FakeQueue:
    """A queue that keeps what is put, or cannot be reached."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, ...]] = []
        self.is_away = False

    def enqueue(self, job: str, *args: str | int) -> None:
        if self.is_away:
            raise Unavailable("no Redis")
        self.jobs.append((job, *args))


class ReceiptNode:
    """A node that has one transaction in block 3 of 10, of which 5 are final."""

    name = "1:node"

    def __init__(self, **changes: Any) -> None:
        self.receipt: Any = {"status": "0x1", "blockNumber": "0x3", "logs": []}
        self.transaction: Any = {}
        self.chain_id, self.fault = 1, False
        self.__dict__ |= changes
        self.world = World()
        for _ in range(10):
            self.world.mine()

    def ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[object]:
        """Answer a batch."""
        if self.fault:
            raise NodeFault(self.name, code="timeout")
        return [self._answer(method, given) for method, given in calls]

    def _answer(self, method: str, given: Sequence[Any]) -> object:
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getTransactionReceipt":
                return self.receipt
            case "eth_getTransactionByHash":
                return self.transaction
        block = self.world.blocks[{"latest": 10, "finalized": 5}[given[0]]]
        return {"number": hex(block.number), "hash": block.hash, "parentHash": block.parent, "timestamp": "0x0"}


class Asker:
    """Asks as the web process does, and answers as the job does."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.queue, self.at = engine, FakeQueue(), NOON
        self.chains: dict[str, Chain] = {"ethereum": ON}
        self.scope: set[str] | None = None

    def ask(self, tx_hash: str = TX) -> Explanation | None:
        """Ask once."""
        inquirer = Inquirer(engine=self.engine, chains=self.chains, queue=self.queue, scope=self.scope)
        return look_up(inquirer, tx_hash, now=self.at)

    def answer(self, *nodes: ReceiptNode) -> Explanation | None:
        """Ask, let the job run, and ask again."""
        assert self.ask() is None
        ask_nodes(self.engine, self.chains, lambda _: nodes, TX, now=self.at)
        return self.ask()


@pytest.fixture
def asker(engine: Engine) -> Asker:
    """Somebody who asks, and an address where users pay to."""
    an_address(engine, HERE)
    add(engine, chains, name="ethereum", chain_id=1, span=16, head_number=10)
    return Asker(engine)


def logs(*moves: tuple[str, str, int], contract: str = "") -> dict[str, Any]:
    """A receipt with these transfers."""
    mined = World().mine(*moves, **({"contract": contract} if contract else {})).logs
    return {"status": "0x1", "blockNumber": "0x3", "logs": mined}


def test_what_a_scan_has_read_is_told_at_once(asker: Asker) -> None:
    """Nobody is asked; a key sees only the orders of its namespaces."""
    a_stored_transfer(asker.engine, 1, HERE, block_number=3)
    a_stored_order(asker.engine, "sh-1")
    key = {"chain": "ethereum", "tx_hash": TX, "log_index": 0}
    add(asker.engine, matches, **key, namespace="crossing", orderid="sh-1", rule="tx", matched_at=NOON)
    found = asker.ask()
    assert found is not None
    assert found.order is not None
    assert (found.case, found.chain, found.confirmations, found.order.orderid) == ("credited", "ethereum", 8, "sh-1")
    asker.scope = {"other"}
    hidden = asker.ask()
    assert hidden is not None
    assert (hidden.case, hidden.order) == ("hidden", None)
    assert asker.queue.jobs == []


def test_a_transfer_that_stands_counts_before_its_orphan(asker: Asker) -> None:
    """The same transaction was mined again at another place."""
    a_stored_transfer(asker.engine, 1, HERE, is_final=False, orphaned_at=NOON)
    orphaned = asker.ask()
    assert orphaned is not None
    assert (orphaned.case, orphaned.confirmations) == ("orphaned", 0)
    a_stored_transfer(asker.engine, 1, HERE, log_index=4, unmatched="ambiguous")
    found = asker.ask()
    assert found is not None
    assert found.case == "ambiguous"


TOLD: list[tuple[dict[str, Any], str]] = [
    ({"receipt": None, "transaction": None}, "not_found"),
    ({"receipt": None}, "pending"),
    ({"receipt": {"status": "0x0", "blockNumber": "0x3", "logs": []}}, "reverted"),
    ({}, "no_transfer"),
    ({"receipt": logs((STRANGER, HERE, 5))}, "not_read"),
    ({"receipt": logs((STRANGER, HERE, 0))}, "no_value"),
    ({"receipt": logs((STRANGER, STRANGER, 5))}, "not_our_address"),
    ({"receipt": logs((STRANGER, HERE, 5), contract=COUNTERFEIT)}, "wrong_token"),
    ({"receipt": logs((HERE, STRANGER, 2**255))}, "outgoing"),
    ({"fault": True}, "nodes_silent"),
    ({"chain_id": 5}, "nodes_silent"),
    ({"receipt": NodeError(-32000, "busy")}, "nodes_silent"),
    ({"receipt": []}, "nodes_silent"),
]


@pytest.mark.parametrize(("says", "case"), TOLD)
def test_what_no_scan_has_read_is_asked_of_the_nodes(asker: Asker, says: dict[str, Any], case: str) -> None:
    """By a job; whoever asked comes again."""
    found = asker.answer(ReceiptNode(**says))
    assert found is not None
    assert found.case == case
    assert asker.queue.jobs == [(JOB, TX)]


def test_the_next_node_is_asked_when_one_does_not_answer(asker: Asker) -> None:
    """And where a block is, is counted from that node's head."""
    found = asker.answer(ReceiptNode(fault=True), ReceiptNode(receipt=logs((STRANGER, HERE, 5))))
    assert found is not None
    assert (found.case, found.block_number, found.confirmations) == ("not_read", 3, 8)


def test_a_question_is_put_once_and_again_when_its_answer_is_old_or_never_came(asker: Asker) -> None:
    """A worker that died is not waited for."""
    for _ in range(3):
        assert asker.ask() is None
    assert len(asker.queue.jobs) == 1
    asker.at += PATIENCE
    assert asker.answer(ReceiptNode()) is not None
    assert len(asker.queue.jobs) == 2
    asker.at += FRESH
    assert asker.ask() is None
    assert len(asker.queue.jobs) == 3


def test_questions_are_bounded_and_old_ones_forgotten(asker: Asker) -> None:
    """Each costs every node an exchange."""
    for number in range(MOST_OPEN):
        asker.ask(f"0x{number + 10:064x}")
    with pytest.raises(TooMany):
        asker.ask()
    asker.at += timedelta(days=2)
    assert asker.ask() is None
    with reading(asker.engine) as connection:
        assert len(connection.execute(select(inquiries)).all()) == 1


def test_a_queue_that_is_away_is_said_and_the_question_can_be_put_again(asker: Asker) -> None:
    """Nothing pretends that it was asked."""
    asker.queue.is_away = True
    with pytest.raises(Unavailable):
        asker.ask()
    asker.queue.is_away = False
    assert asker.ask() is None
    assert asker.queue.jobs == [(JOB, TX)]


def test_without_a_chain_nobody_is_asked_and_orders_that_named_it_are_told(asker: Asker) -> None:
    """In whatever spelling they did."""
    asker.chains = {"ethereum": replace(ON, nodes=())}
    a_stored_order(asker.engine, "sh-1")
    named = {"verdict": "accepted", "reason": None, "namespace": "crossing", "orderid": "sh-1", "tx_hash": TX[2:]}
    a_stored_callback(asker.engine, **named)
    found = asker.ask()
    assert found is not None
    assert (found.case, "sh-1" in found.sentence) == ("chain_off", True)
    assert asker.queue.jobs == []


def test_what_is_no_hash_is_refused() -> None:
    """Before anything is looked up."""
    assert machine_hash("AB" * 32) == "0x" + "ab" * 32
    with pytest.raises(Unprocessable):
        machine_hash("0x12")
