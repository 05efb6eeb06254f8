"""A credit without a transfer is stated when two nodes say that nothing came; who disagrees makes the run incomplete."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from relay.core.chains import NodeURL
from relay.errors import NodeFault
from relay.flows.absences import AGAIN, MOST, ask_nodes
from relay.flows.reconcile import Bench, reconcile
from relay.store import reconciling
from relay.store.engine import reading, writing
from relay.store.rows import breaks, chains, runs, testimonies
from tests.builders import NOON, a_source
from tests.fakes import numbered_ids
from tests.flows.test_scan import MINE, Desk
from tests.nodes.scripted import STRANGER, ScriptedNode, World, a_chain
from tests.rows import a_match, a_stored_order, a_stored_transfer

KEY = ("crossing", "sh-1")
# The scripted chain's block n is n seconds after 11:43:20.
BEGAN = NOON - timedelta(minutes=16, seconds=40)
TWO = tuple(NodeURL(name=f"{number}:node", url="https://node.example") for number in (1, 2))


class Case:
    """An order that was credited without a transfer, on a chain that is read; `nodes` are those that are asked about it."""

    def __init__(self, engine: Engine) -> None:
        self.desk = Desk(engine, a_chain(span=500, window=500, filter_above=50, nodes=TWO))
        self.engine, self.world = engine, self.desk.world
        self.desk.watch(MINE, at=BEGAN)
        self.desk.scan()
        for _ in range(600):
            self.world.mine()
        self.world.final = 600
        self.desk.scan()
        with writing(engine) as connection:
            connection.execute(update(chains).values(reading_since=BEGAN - timedelta(days=1)))
        at = BEGAN + timedelta(seconds=100)
        a_stored_order(engine, "sh-1", registered=True, chain="ethereum", address=MINE, created_at=at, updated_at=at)
        self.nodes: list[Any] = [ScriptedNode(self.world), ScriptedNode(self.world, name="2:node")]
        self.now = NOON + timedelta(hours=1)
        self.bench = Bench(
            engine=engine,
            sources={"crossing": a_source(chains=("ethereum",))},
            chains={"ethereum": self.desk.chain},
            new_id=numbered_ids(),
            owner="me",
        )
        self.mark()

    def mark(self) -> None:
        """Have the order judged again."""
        with writing(self.engine) as connection:
            reconciling.mark(connection, [KEY])

    def run(self) -> tuple[str, str]:
        """Scan, and let the reconciler come by; return how its run ended, and why."""
        self.now += timedelta(minutes=10)
        self.desk.now = self.now
        self.desk.scan(later=timedelta(0))
        reconcile(self.bench, now=self.now)
        with reading(self.engine) as connection:
            row = connection.execute(select(runs).order_by(runs.c.id.desc())).mappings().first()
        assert row is not None
        return row["state"], row["reason"]

    def ask(self) -> int:
        """Ask the nodes, as the job does after a scan."""
        return ask_nodes(self.engine, self.bench.chains, lambda _: self.nodes, now=self.now)

    def stated(self) -> list[dict[str, str]]:
        """The evidence of each phantom that stands."""
        query = select(breaks.c.evidence).where(breaks.c.kind == "phantom_credit", breaks.c.state == "open")
        with reading(self.engine) as connection:
            return [json.loads(told) for told in connection.scalars(query)]

    def asked(self) -> list[str]:
        """What is kept of what nodes say."""
        with reading(self.engine) as connection:
            return list(connection.scalars(select(testimonies.c.state)))


@pytest.fixture
def case(engine: Engine) -> Case:
    """The case, on each database."""
    return Case(engine)


class Away:
    """A node that does not answer."""

    name = "2:away"

    def ask(self, calls: object) -> list[object]:
        """Fail."""
        raise NodeFault(self.name, code="timeout")


def test_two_nodes_state_that_nothing_came(case: Case) -> None:
    """Not before they were asked; then with their number and the blocks."""
    assert (case.run(), case.stated(), case.asked()) == (("complete", ""), [], ["asked"])
    assert case.ask() == 1
    assert case.run() == ("complete", "")
    (told,) = case.stated()
    assert (told["witnesses"], told["blocks"], told["address"]) == ("2 witnesses", "0-399", MINE)
    assert case.ask() == 0


def test_one_node_is_said_to_be_one(case: Case) -> None:
    """It is stated all the same: there is no other."""
    case.nodes = case.nodes[:1]
    case.run()
    case.ask()
    case.run()
    assert [told["witnesses"] for told in case.stated()] == ["one witness"]


def test_a_node_that_saw_the_money_makes_the_run_incomplete(case: Case) -> None:
    """Nothing is stated of the order, and the reason is; when they agree again both are over."""
    richer = World(list(case.world.blocks), case.world.final)
    paid = World().mine((STRANGER, MINE, 3_000_000)).logs[0]
    told = [*richer.blocks[150].logs, paid | {"blockNumber": hex(150), "blockHash": richer.blocks[150].hash}]
    richer.blocks[150] = type(richer.blocks[150])(150, richer.blocks[150].hash, richer.blocks[150].parent, told)
    case.nodes[1] = ScriptedNode(richer, name="2:node")
    case.run()
    case.ask()
    assert case.run() == ("incomplete", "ethereum nodes disagree about 1 finding")
    assert case.stated() == []
    case.nodes[1] = case.nodes[0]
    case.ask()
    assert case.run() == ("complete", "")
    assert len(case.stated()) == 1


def test_a_node_that_does_not_answer_is_no_second_witness(case: Case) -> None:
    """The finding waits, the run says for what, and the node is asked again later."""
    case.nodes[1] = Away()
    case.run()
    case.ask()
    assert case.run() == ("incomplete", "ethereum no second node confirms 1 finding")
    assert case.stated() == []
    assert case.ask() == 1


def test_nodes_that_are_all_away_say_nothing(case: Case) -> None:
    """Which blocks are meant is not known then either."""
    case.nodes = [Away(), Away()]
    case.run()
    case.ask()
    assert case.asked() == ["unanswered"]
    assert case.stated() == []


def test_what_comes_after_all_is_doubted_no_longer(case: Case) -> None:
    """What was asked is forgotten, and the run is whole again."""
    case.nodes[1] = Away()
    case.run()
    case.ask()
    case.run()
    a_match(case.engine, a_stored_transfer(case.engine, 7, MINE, chain="ethereum", block_number=150), "sh-1")
    case.mark()
    assert case.run() == ("complete", "")
    assert (case.asked(), case.stated()) == ([], [])


def test_findings_of_a_chain_that_is_off_keep_none_of_another_waiting(case: Case) -> None:
    """They are looked at again later, however many there are: the chain may come back."""
    case.run()
    with writing(case.engine) as connection:
        (asked,) = connection.execute(select(testimonies)).mappings().all()
        gone = [dict(asked) | {"orderid": f"gone-{number}", "chain": "polygon"} for number in range(MOST)]
        connection.execute(insert(testimonies), [one | {"look_at": asked["look_at"] - AGAIN} for one in gone])
    case.ask()
    case.ask()
    assert case.run() == ("complete", "")
    assert len(case.stated()) == 1
    assert sorted(case.asked()) == [*["asked"] * MOST, "confirmed"]


def test_blocks_that_are_given_up_again_answer_for_none_that_came_later(case: Case) -> None:
    """After a resumption from an earlier block the time that is meant is not read yet; nor is all that came before it read for that."""
    case.run()
    at = BEGAN + timedelta(seconds=300)
    with writing(case.engine) as connection:
        connection.execute(update(testimonies).values(from_at=at, until_at=at + timedelta(seconds=50)))
        connection.execute(update(chains).values(final_number=50, final_hash=case.world.blocks[50].hash))
    case.ask()
    assert case.asked() == ["unanswered"]
