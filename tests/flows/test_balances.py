"""Balances are measured at final blocks, and each address's money is proven over a day."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select

from relay.core.balances import Proof
from relay.core.chains import Token
from relay.core.days import Calendar, Day
from relay.flows.balances import all_proofs, measure, proofs_of
from relay.flows.chains import Block, resume
from relay.store import balances as store
from relay.store.engine import reading, writing
from relay.store.rows import addresses, balance_readings, balances, chain_cuts, day_closes
from tests.builders import NOON
from tests.flows.test_matching import PERSON
from tests.flows.test_scan import HERS, MINE, Desk
from tests.nodes.multicall import MULTICALL
from tests.nodes.scripted import SILENT, STRANGER, USDT, ScriptedNode, a_chain
from tests.rows import add

# The scripted chain's block n is n seconds after 11:43:20: block 99 is the last before this cut.
CALENDAR = Calendar("UTC", time(11, 45))
TODAY, YESTERDAY = (CALENDAR.day(date(2026, 11, day)) for day in (23, 22))
USUAL: dict[str, Any] = {"span": 500, "window": 500, "filter_above": 50}


class Till(Desk):
    """A chain whose balances are measured too."""

    def __init__(self, engine: Engine, **changes: Any) -> None:
        super().__init__(engine, a_chain(**USUAL | changes))
        self.watch(MINE)
        self.world.final = 0
        self.scan()

    def mine(self, *moves: tuple[str, str, int], upto: int | None = None) -> None:
        """Mine one block with these transfers, then empty ones up to a number; all are final and read."""
        self.world.mine(*moves)
        while upto is not None and self.world.head < upto:
            self.world.mine()
        self.world.final = self.world.head
        self.scan(later=timedelta(seconds=1))

    def measure(self, *nodes: ScriptedNode) -> str:
        """Measure once, two hours later."""
        self.now += timedelta(hours=2)
        return measure(self.engine, self.chain, nodes or (self.node,), CALENDAR, owner="test", now=self.now)

    def proofs(self, day: Day = TODAY) -> dict[str, Proof]:
        """The lines of a day by address."""
        with reading(self.engine) as connection:
            found = list(all_proofs(connection, {self.chain.name: self.chain}, day, now=self.now))
        return {one.address: one for one in found}

    def points(self) -> list[tuple[int, int, str]]:
        """What was measured: first and last block, and units."""
        query = select(balances.c.first_block, balances.c.last_block, balances.c.units)
        with reading(self.engine) as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(balances.c.first_block))]

    def cuts(self) -> Sequence[Any]:
        """The last blocks before cut-offs."""
        with reading(self.engine) as connection:
            return connection.execute(select(chain_cuts)).all()


@pytest.fixture(params=["Multicall3", "one by one"])
def till(engine: Engine, request: pytest.FixtureRequest) -> Till:
    """A chain with and without a Multicall3, on each database."""
    return Till(engine, multicall=MULTICALL if request.param == "Multicall3" else None)


def test_the_first_measurement_opens_and_the_next_proves(till: Till) -> None:
    """What came in before counts as the opening; nothing is claimed of how it came."""
    till.mine((STRANGER, MINE, 7))
    assert till.measure() == "measured"
    assert till.proofs()[MINE].why == "measured_once"
    till.mine((STRANGER, MINE, 10), (MINE, HERS, 4), (MINE, MINE, 3))
    assert till.measure() == "measured"
    line = till.proofs()[MINE]
    assert (line.opening, line.received, line.sent, line.closing, line.measured) == (7, 13, 7, 13, 13)
    assert (line.verdict, line.first_block, line.last_block) == ("proved", 1, 2)


def test_money_that_moves_without_a_transfer_is_a_gap(till: Till) -> None:
    """To the last base unit, and only of the address that it concerns."""
    till.watch(HERS)
    till.mine((STRANGER, MINE, 10), (STRANGER, HERS, 10))
    till.measure()
    till.mine((STRANGER, MINE, 5), (STRANGER, HERS, 5))
    till.world.quietly.append((2, MINE, -1))
    till.measure()
    lines = till.proofs()
    assert (lines[MINE].verdict, lines[MINE].difference) == ("gap", -1)
    assert lines[HERS].verdict == "proved"


def test_a_log_that_a_node_left_out_is_a_gap_until_it_is_found(till: Till) -> None:
    """The balance knows of it before the daily look back does."""
    till.mine()
    till.measure()
    block = till.world.mine((STRANGER, MINE, 9))
    late = block.logs.pop()
    till.mine((STRANGER, MINE, 1))
    block.logs.append(late)
    till.measure()
    longer = replace(TODAY, end=TODAY.end + timedelta(days=9))
    assert till.proofs(longer)[MINE].difference == 9
    till.scan(later=timedelta(days=1))
    assert till.proofs(longer)[MINE].verdict == "proved"


def test_a_day_is_cut_between_two_blocks_and_its_balance_computed_back(till: Till) -> None:
    """Without asking any node for a past balance: measured before and after, carried to the cut by the logs."""
    till.mine((STRANGER, MINE, 100), upto=50)
    till.measure()
    till.mine((STRANGER, MINE, 20), upto=98)
    till.mine((MINE, STRANGER, 1))
    till.mine((STRANGER, MINE, 3), upto=130)
    till.measure()
    with reading(till.engine) as connection:
        (cut,) = connection.execute(select(chain_cuts)).mappings().all()
    assert (cut["number"], cut["cut_at"], cut["hash"]) == (99, TODAY.start, till.world.blocks[99].hash)
    before, after = till.proofs(YESTERDAY)[MINE], till.proofs(TODAY)[MINE]
    assert (before.first_block, before.last_block, before.opening) == (50, 99, 100)
    assert (before.received, before.sent, before.closing, before.measured) == (20, 1, 119, 119)
    assert (after.first_block, after.opening, after.received, after.measured) == (99, 119, 3, 122)
    assert {before.verdict, after.verdict} == {"proved"}


def test_a_day_that_begins_at_a_closed_neighbour_is_cut_there(till: Till) -> None:
    """Where the zone or the cut-off was changed since, the calendar alone would cut it elsewhere."""
    ends = TODAY.start - timedelta(seconds=40)
    named = {"day": YESTERDAY.name, "version": 1, "state": "prepared", "zone": "UTC", "prepared_by": "pat"}
    bounds = {"starts_at": YESTERDAY.start, "ends_at": ends, "prepared_at": ends}
    add(till.engine, day_closes, **named, **bounds, manifest="{}", manifest_hash="0")
    till.mine(upto=130)
    till.measure()
    with reading(till.engine) as connection:
        (cut,) = connection.execute(select(chain_cuts)).mappings().all()
    assert (cut["number"], cut["cut_at"]) == (59, ends)


def test_a_balance_that_rests_is_one_range(till: Till) -> None:
    """It is looked at once for each cut, not at each run; a range with a movement inside would hide a gap."""
    till.mine((STRANGER, MINE, 5), upto=50)
    till.measure()
    till.node.asked.clear()
    till.measure()
    assert not any(call[0] == "eth_call" for batch in till.node.asked for call in batch)
    till.mine(upto=120)
    till.measure()
    assert till.points() == [(50, 120, "5")]
    till.mine((STRANGER, MINE, 2), (MINE, STRANGER, 2))
    till.measure()
    assert till.points() == [(50, 120, "5"), (121, 121, "5")]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_thousands_of_addresses_are_proven_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred a question, some hundred a page: neither grows with the book."""
    till = Till(engine, multicall=MULTICALL)
    many = [f"0x{number:040x}" for number in range(1, 3_001)]
    usual = {"chain": "ethereum", "role": "deposit", "created_at": till.now}
    with writing(engine) as connection:
        connection.execute(insert(addresses), [usual | {"address": one} for one in many])
    till.mine((STRANGER, many[7], 70))
    till.measure()
    till.mine(upto=100)
    till.mine((STRANGER, many[8], 80))
    pages: list[int] = []
    look_up = store.points

    def noted(connection: Connection, chain: str, keys: Collection[tuple[str, str]], **bounds: int | None) -> Any:
        pages.append(len(keys))
        return look_up(connection, chain, keys, **bounds)  # type: ignore[arg-type]  # each bound has its type

    monkeypatch.setattr(store, "points", noted)
    till.node.asked.clear()
    till.measure()
    questions = [call for batch in till.node.asked for call in batch if call[0] == "eth_call"]
    assert len(questions) == -(-3_001 // 200)
    lines = till.proofs()
    assert (len(lines), {one.verdict for one in lines.values()}) == (3_001, {"proved"})
    assert (lines[many[8]].received, lines[many[7]].measured) == (80, 70)
    assert max(pages) <= 500


def test_a_node_on_another_branch_or_with_another_block_is_not_believed(till: Till) -> None:
    """The next one is asked; with none, nothing is measured."""
    till.mine((STRANGER, MINE, 5))
    other = Till.__new__(Till)
    other.world = type(till.world)()
    for _ in range(3):
        other.world.mine()
    liar = ScriptedNode(other.world, name="2:liar")
    assert till.measure(liar) == "unread"
    assert till.measure(ScriptedNode(till.world, name="2:dead", lie="timeout")) == "unread"
    assert till.points() == []
    assert till.measure(liar, till.node) == "measured"


def test_a_node_that_answers_from_its_head_in_silence_is_found_out(engine: Engine) -> None:
    """The number in the same call is not the one that was asked for."""
    till = Till(engine, multicall=MULTICALL)
    till.mine((STRANGER, MINE, 5))
    till.world.mine((STRANGER, MINE, 6))
    till.node.lie = "silently latest"
    assert till.measure() == "unread"
    assert till.points() == []


@pytest.mark.parametrize("name", ["tron", "ethereum"])
def test_where_only_the_head_is_told_it_counts_once_it_is_final(engine: Engine, name: str) -> None:
    """On TRON always, elsewhere where the state of the final block is pruned."""
    till = Till(engine, multicall=MULTICALL, name=name)
    till.node.lie = "latest only" if name == "ethereum" else ""
    till.mine((STRANGER, MINE, 5))
    till.world.mine((STRANGER, MINE, 6))
    till.scan()
    assert till.measure() == "measured"
    assert till.points() == []
    assert till.proofs()[MINE].why == "not_measured_yet"
    till.node.asked.clear()
    till.measure()
    assert not any(call[0] == "eth_call" for batch in till.node.asked for call in batch)
    till.mine()
    assert till.measure() == "measured"
    assert till.points()[0] == (2, 2, "11")


def test_a_head_that_was_replaced_tells_nothing(engine: Engine) -> None:
    """Its number is final, its hash another one."""
    till = Till(engine, multicall=MULTICALL, name="tron")
    till.mine((STRANGER, MINE, 5))
    till.world.mine((STRANGER, MINE, 6))
    till.scan()
    till.measure()
    till.world.reorg(1)
    till.mine((STRANGER, MINE, 7))
    till.measure()
    assert till.points() == []
    with reading(till.engine) as connection:
        numbers = connection.scalars(select(balance_readings.c.block_number)).all()
    assert numbers == [till.world.head]


@pytest.mark.parametrize(("multicall", "lie"), [(MULTICALL, "moving head"), (None, "")])
def test_a_head_that_moves_or_does_not_tell_its_block_is_not_provable(
    engine: Engine, multicall: str | None, lie: str
) -> None:
    """Without a Multicall3 nobody knows of which block the balances speak."""
    till = Till(engine, multicall=multicall, name="tron")
    till.mine()
    till.node.lie = lie
    assert till.measure() == "unread"
    assert till.points() == []


def test_an_address_that_the_token_does_not_tell_of_is_named(engine: Engine) -> None:
    """It keeps no other from its proof."""
    till = Till(engine, multicall=MULTICALL)
    till.watch(SILENT)
    till.mine()
    till.measure()
    till.mine((STRANGER, MINE, 1))
    till.measure()
    lines = till.proofs()
    assert (lines[MINE].verdict, lines[SILENT].why) == ("proved", "not_measured_yet")


def test_what_was_measured_in_blocks_that_are_given_up_proves_nothing(till: Till) -> None:
    """After a resumption from an earlier block; what was measured up to it stands, and the cut is looked for again."""
    till.mine((STRANGER, MINE, 7), upto=50)
    till.measure()
    till.mine(upto=101)
    till.measure()
    till.mine((STRANGER, MINE, 10), upto=110)
    till.measure()
    assert till.points() == [(50, 101, "7"), (110, 110, "17")]
    till.world.reorg(20)
    till.mine(upto=120)
    assert till.state("stopped") == "deep_reorg"
    good = Block(number=90, hash=till.world.blocks[90].hash)
    resume(till.engine, "ethereum", good, actor=PERSON, now=till.now)
    till.scan()
    assert till.points() == [(50, 90, "7")]
    till.measure()
    assert till.points() == [(50, 120, "7")]
    (cut,) = till.cuts()
    assert (cut.number, cut.hash) == (99, till.world.blocks[99].hash)


def test_places_below_a_micro_foot_too(engine: Engine) -> None:
    """A token with 18 decimals, a unit of which is dust."""
    till = Till(engine, tokens=(Token(contract=USDT, decimals=18),))
    till.node.decimals = 18
    till.scan()
    till.mine()
    till.measure()
    till.mine((STRANGER, MINE, 10**18 + 1), (MINE, STRANGER, 10**12 - 1))
    till.measure()
    line = till.proofs()[MINE]
    assert (line.received, line.sent, line.difference) == (10**18 + 1, 10**12 - 1, 0)


def test_only_our_own_addresses_enter_and_pages_follow_each_other(till: Till) -> None:
    """Strangers' addresses in the book have no balance of ours."""
    add(till.engine, addresses, chain="ethereum", address=STRANGER, role="external", created_at=NOON)
    for number in range(4):
        till.watch(f"0x{number + 1:040x}")
    with reading(till.engine) as connection:
        seen: list[str] = []
        after: int | None = 0
        while after is not None:
            page, after = proofs_of(connection, {"ethereum": till.chain}, TODAY, now=till.now, after=after, limit=2)
            seen += [one.address for one in page]
    assert seen == [MINE, *(f"0x{number + 1:040x}" for number in range(4))]


def test_a_provider_s_address_is_read_and_enters_no_proof(till: Till) -> None:
    """Orders are paid there; what else comes and goes is the provider's own business."""
    add(till.engine, addresses, chain="ethereum", address=HERS, role="provider", created_at=NOON)
    till.scan()
    till.mine((STRANGER, HERS, 9), (HERS, STRANGER, 4))
    till.measure()
    assert len(till.found()) == 2
    assert HERS not in till.proofs()
    start = NOON.replace(hour=0)
    with reading(till.engine) as connection:
        assert store.outflows(connection, start=start, end=start + timedelta(days=1)) == []


def test_a_fee_on_transfer_is_counted_as_the_token_tells_it(till: Till) -> None:
    """The event names what arrived, and the fee is a transfer of its own to the token's owner: both sides foot."""
    till.watch(HERS)
    till.mine((STRANGER, MINE, 100))
    till.measure()
    till.mine((MINE, HERS, 48), (MINE, STRANGER, 2))
    till.measure()
    lines = till.proofs()
    assert (lines[MINE].sent, lines[HERS].received) == (50, 48)
    assert {one.verdict for one in lines.values()} == {"proved"}


def test_money_that_leaves_is_classed_by_where_it_goes(till: Till) -> None:
    """By the address book; only final transfers."""
    vault, known = "0x" + "33" * 20, "0x" + "44" * 20
    add(till.engine, addresses, chain="ethereum", address=vault, role="collection", created_at=NOON)
    add(till.engine, addresses, chain="ethereum", address=known, role="external", created_at=NOON)
    till.scan()
    till.mine((STRANGER, MINE, 9), (MINE, vault, 1), (vault, known, 1), (vault, STRANGER, 1), (vault, MINE, 1))
    start = NOON.replace(hour=0)
    with reading(till.engine) as connection:
        found = store.outflows(connection, start=start, end=start + timedelta(days=1))
        worst = store.outflows(
            connection, start=start, end=start + timedelta(days=1), classes=["unexplained_outflow"], limit=1
        )
    classes = [row["class"] for row in found]
    assert classes == ["collection", "external", "unexplained_outflow", "unexplained_outflow"]
    assert (len(worst), worst[0]["recipient"]) == (1, STRANGER)


def test_what_the_chain_waits_for_is_said(engine: Engine) -> None:
    """Nothing is measured before anything is final, or while another measures."""
    desk = Desk(engine, a_chain(**USUAL))
    assert measure(engine, desk.chain, (desk.node,), CALENDAR, owner="a", now=NOON) == "waiting"
