"""Chains are read without gaps: through outages, reorgs, new addresses and nodes that lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, select

from relay.core.chains import Chain, Token
from relay.core.ranges import Range, gaps
from relay.errors import NodeFault
from relay.flows.scan import scan
from relay.store import chain as store
from relay.store import chain_findings as findings
from relay.store.engine import make_engine, reading, writing
from relay.store.migrate import upgrade
from relay.store.rows import (
    address_scans,
    addresses,
    chain_blocks,
    chain_nodes,
    chains,
    leases,
    scan_ranges,
    token_events,
    transfers,
)
from tests.builders import NOON
from tests.nodes.scripted import COUNTERFEIT, STRANGER, USDT, ScriptedNode, World, a_chain, moved
from tests.rows import add

MINE, HERS = "0x" + "11" * 20, "0x" + "22" * 20


class Desk:
    """A chain, its world, and the ledger that scans write; each scan is a minute later."""

    def __init__(self, engine: Engine, chain: Chain | None = None) -> None:
        self.engine, self.world, self.chain = engine, World(), chain or a_chain()
        self.node = ScriptedNode(self.world)
        self.minutes = count(1)
        self.now = NOON

    def watch(self, address: str, *, at: datetime | None = None) -> None:
        """Enter an address into the book."""
        add(self.engine, addresses, chain=self.chain.name, address=address, role="deposit", created_at=at or self.now)

    def scan(self, *nodes: ScriptedNode, later: timedelta = timedelta(minutes=10)) -> str:
        """Scan once."""
        self.now += later
        given = nodes or (self.node,)
        return scan(self.engine, self.chain, given, owner="test", clock=lambda: self.now, jitter=lambda: 0.0)

    def found(self, *, final: bool | None = None) -> dict[tuple[str, int], int]:
        """The standing transfers, by key."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(transfers).where(transfers.c.orphaned_at.is_(None))).mappings().all()
        return {
            (row["tx_hash"], row["log_index"]): row["amount_micros"]
            for row in rows
            if final is None or row["is_final"] is final
        }

    def orphans(self) -> int:
        """How many transfers lost their block."""
        with reading(self.engine) as connection:
            return len(connection.execute(select(transfers).where(transfers.c.orphaned_at.is_not(None))).all())

    def ranges(self) -> list[Range]:
        """What was read."""
        with reading(self.engine) as connection:
            return store.ranges_of(connection, self.chain.name)

    def state(self, column: str) -> object:
        """A column of the chain's state."""
        with reading(self.engine) as connection:
            return store.states(connection)[self.chain.name][column]


@dataclass
class Dropping(ScriptedNode):
    """A node that is gone after so many questions."""

    asks: int = 0

    def ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[object]:
        """Answer, or be gone."""
        self.asks -= 1
        if self.asks < 0:
            raise NodeFault(self.name, code="timeout")
        return super().ask(calls)


@pytest.fixture
def desk(engine: Engine) -> Desk:
    """A chain on each database, with one watched address and its first scan done."""
    made = Desk(engine)
    made.watch(MINE)
    assert made.scan() == "scanned"
    return made


def test_transfers_in_and_out_are_found_and_become_final(desk: Desk) -> None:
    """A counterfeit, a worthless one and other people's are not."""
    desk.world.mine((STRANGER, MINE, 3_000_000), (STRANGER, HERS, 1), (STRANGER, MINE, 0))
    desk.world.mine((MINE, HERS, 500), (STRANGER, MINE, 7))
    desk.world.mine((STRANGER, MINE, 9_000_000), contract=COUNTERFEIT)
    assert desk.scan() == "scanned"
    assert sorted(desk.found().values()) == [7, 500, 3_000_000]
    assert desk.found(final=True) == {}
    desk.world.final = 2
    desk.scan()
    assert len(desk.found(final=True)) == 3
    assert [(one.first, one.last) for one in desk.ranges()] == [(0, 3)]


def test_dust_and_eighteen_places_are_kept_to_the_last_unit(engine: Engine) -> None:
    """Micros for the sums, and beside them what is below a micro; a unit alone is money too, though no order's."""
    desk = Desk(engine, a_chain(tokens=(Token(contract=USDT, decimals=18),)))
    desk.node.decimals = 18
    desk.watch(MINE)
    desk.scan()
    desk.world.mine((STRANGER, MINE, 3 * 10**18 + 7), (STRANGER, MINE, 1), (STRANGER, MINE, 10**30))
    desk.scan()
    query = select(transfers.c.amount_micros, transfers.c.rest).order_by(transfers.c.log_index)
    with reading(engine) as connection:
        assert [tuple(row) for row in connection.execute(query)] == [(3_000_000, 7), (0, 1), (10**18, 0)]


def test_a_long_outage_leaves_no_gap(desk: Desk) -> None:
    """However far the head is: reading goes on where it ended, in more scans when it must."""
    for number in range(700):
        desk.world.mine(*([(STRANGER, MINE, number + 1)] if number % 50 == 0 else []))
    desk.world.final = 690
    for _ in range(12):
        desk.scan()
    assert desk.found() == desk.world.transfers_of({MINE}, 0)
    assert gaps(desk.ranges(), 0, desk.world.head) == []
    assert desk.ranges()[0].last_hash == desk.world.blocks[-1].hash


def test_a_quiet_chain_costs_a_constant_few_requests(desk: Desk) -> None:
    """Whatever was read before."""
    costs = []
    for _ in range(5):
        desk.world.mine()
        desk.world.final = desk.world.head - 3 if desk.world.head > 3 else 0
        desk.node.asked.clear()
        desk.scan(later=timedelta(seconds=10))
        costs.append(len(desk.node.asked))
    assert max(costs) <= 4
    desk.node.asked.clear()
    desk.scan(later=timedelta(seconds=10))
    assert len(desk.node.asked) == 1


def test_a_replaced_block_orphans_its_transfers_and_keeps_them(desk: Desk) -> None:
    """The same transaction in another block stands again under its key."""
    desk.world.mine()
    old = desk.world.mine((STRANGER, MINE, 5), (STRANGER, MINE, 6))
    desk.scan()
    desk.world.reorg(1)
    new = desk.world.mine()
    new.logs.append(moved(old.logs[0], new, 0))
    desk.world.mine()
    desk.scan()
    assert sorted(desk.found().values()) == [5]
    assert desk.orphans() == 1
    assert gaps(desk.ranges(), 0, desk.world.head) == []


def test_a_reorg_below_what_was_final_stops_the_chain(desk: Desk) -> None:
    """A person has to look; nothing is taken back in silence."""
    for _ in range(6):
        desk.world.mine((STRANGER, MINE, 1))
    desk.world.final = 4
    desk.scan()
    before = desk.found()
    desk.world.reorg(5)
    for _ in range(8):
        desk.world.mine()
    assert desk.scan() == "stopped"
    assert desk.state("stopped") == "deep_reorg"
    assert desk.found() == before
    assert desk.scan() == "stopped"


def test_a_young_chain_that_replaces_its_first_read_block_is_read_again(engine: Engine) -> None:
    """Nothing that was read is final yet, so nothing that was promised is broken."""
    desk = Desk(engine, a_chain(finality="confirmations", confirmations=12))
    desk.watch(MINE)
    desk.world.mine((STRANGER, MINE, 5))
    assert desk.scan() == "scanned"
    desk.world.mine((STRANGER, MINE, 6))
    assert desk.scan() == "scanned"
    assert desk.scan(ScriptedNode(desk.world, behind=2)) == "degraded"
    assert desk.orphans() == 0
    desk.world.reorg(2)
    for _ in range(3):
        desk.world.mine((STRANGER, MINE, 7))
    assert desk.scan() == "scanned"
    assert (desk.found(), desk.orphans()) == (desk.world.transfers_of({MINE}, 1), 2)
    for _ in range(20):
        desk.world.mine((STRANGER, MINE, 8))
    assert desk.scan() == "scanned"
    assert desk.found() == desk.world.transfers_of({MINE}, 1)
    assert gaps(desk.ranges(), 1, desk.world.head) == []


def test_one_node_on_a_deep_branch_does_not_stop_a_chain_that_another_confirms(desk: Desk) -> None:
    """The one that contradicts is left alone."""
    for _ in range(6):
        desk.world.mine()
    desk.world.final = 4
    desk.scan()
    other = World()
    for _ in range(9):
        other.mine()
    assert desk.scan(ScriptedNode(other, name="1:liar"), ScriptedNode(desk.world, name="2:true")) == "scanned"
    assert desk.state("stopped") is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"chain_id": 56}, "wrong_chain"), ({"decimals": 18}, "wrong_token"), ({"lie": "no code"}, "wrong_token")],
)
def test_a_chain_that_differs_from_the_file_stops_by_name_and_goes_on_when_it_fits(
    engine: Engine, changes: dict[str, object], code: str
) -> None:
    """Nothing is read from it."""
    desk = Desk(engine)
    for name, value in changes.items():
        setattr(desk.node, name, value)
    assert desk.scan() == "stopped"
    assert desk.state("stopped") == code
    assert desk.ranges() == []
    desk.node.chain_id, desk.node.decimals, desk.node.lie = 1, 6, ""
    assert desk.scan() == "scanned"
    assert desk.state("stopped") is None


@pytest.mark.parametrize(
    "lie",
    [
        *("timeout", "protocol", "removed", "other blocks", "other hashes"),
        *("null", "two versions", "head is ahead", "huge head", "huge index"),
    ],
)
@pytest.mark.parametrize("final", [0, 9])
def test_a_lying_node_leaves_neither_gap_nor_wrong_transfer(desk: Desk, lie: str, final: int) -> None:
    """It is left alone, the chain is degraded, and the next true node goes on."""
    for units in range(1, 11):
        desk.world.mine((STRANGER, MINE, units))
    desk.world.final = final
    desk.node.lie = lie
    assert desk.scan() == "degraded"
    truth = desk.world.transfers_of({MINE}, 0)
    assert desk.found().items() <= truth.items()
    assert desk.scan(ScriptedNode(desk.world, name="2:true")) == "scanned"
    assert desk.found() == truth
    assert gaps(desk.ranges(), 0, desk.world.head) == []


@pytest.mark.parametrize("final", [0, 9])
def test_doubled_logs_out_of_order_count_once(desk: Desk, final: int) -> None:
    """By their key."""
    for units in range(1, 11):
        desk.world.mine((STRANGER, MINE, units))
    desk.world.final, desk.node.lie = final, "doubled and shuffled"
    assert desk.scan() == "scanned"
    assert desk.found() == desk.world.transfers_of({MINE}, 0)


@pytest.mark.parametrize("final", [0, 9])
def test_a_node_that_drops_out_at_any_question_leaves_the_next_one_the_same_work(desk: Desk, final: int) -> None:
    """Wherever the first one ends: the ledger is what the second one alone would have written."""
    second = ScriptedNode(desk.world, name="2:node")
    for asks in range(12):
        for units in range(1, 10):
            desk.world.mine((STRANGER, MINE, units), (MINE, STRANGER, 1))
        _reorg(desk.world, 2, kept=bool(asks % 2))
        desk.world.final = max(desk.world.final, desk.world.head - 9 + final)
        dropping = Dropping(desk.world, name="1:dropping", asks=asks)
        assert desk.scan(dropping, second, later=timedelta(hours=1)) == "scanned"
        assert desk.found() == desk.world.transfers_of({MINE}, 0)
        assert desk.found(final=True) == desk.world.transfers_of({MINE}, 0, desk.world.final)
        assert [(one.first, one.last, one.last_hash) for one in desk.ranges()] == [
            (0, desk.world.head, desk.world.blocks[-1].hash)
        ]


def test_a_fee_is_neither_ours_nor_credited(desk: Desk) -> None:
    """A token that takes one tells it as a transfer of its own: what arrived is the value of the event to us."""
    block = desk.world.mine((STRANGER, MINE, 990_000), (STRANGER, "0x" + "fe" * 20, 10_000))
    for log in block.logs:
        log["transactionHash"] = block.logs[0]["transactionHash"]
    desk.scan()
    assert list(desk.found().values()) == [990_000]


def test_a_lagging_node_is_passed_over(desk: Desk) -> None:
    """Its empty answer for blocks that it lacks counts for nothing, and takes nothing back."""
    for units in range(1, 5):
        desk.world.mine((STRANGER, MINE, units))
    desk.scan()
    lagging = ScriptedNode(desk.world, name="2:slow", behind=3)
    assert desk.scan(lagging) == "degraded"
    assert len(desk.found()) == 4
    assert desk.orphans() == 0
    assert desk.scan(lagging, desk.node) == "scanned"


def test_a_truncated_answer_is_asked_again_in_smaller_pieces(engine: Engine) -> None:
    """As many logs as a node gives at most may be fewer than there are."""
    desk = Desk(engine, a_chain(results=4))
    desk.watch(MINE)
    desk.scan()
    desk.node.max_results = 4
    for units in range(1, 13):
        desk.world.mine((STRANGER, MINE, units))
    desk.world.final = 12
    desk.scan()
    assert desk.found() == desk.world.transfers_of({MINE}, 0)


def test_a_refused_range_is_followed(desk: Desk) -> None:
    """The range that the error suggests is the next one."""
    desk.node.max_range = 2
    for units in range(1, 13):
        desk.world.mine((STRANGER, MINE, units))
    desk.world.final = 12
    desk.scan()
    assert desk.found() == desk.world.transfers_of({MINE}, 0)


@pytest.mark.parametrize("lie", ["slow", "floods"])
def test_a_range_that_is_too_much_to_answer_in_time_is_asked_in_smaller_pieces(desk: Desk, lie: str) -> None:
    """The node does not say so, and what was learnt outlives a scan that gave up."""
    desk.node.max_range, desk.node.lie = 1, lie
    for units in range(1, 41):
        desk.world.mine((STRANGER, MINE, units))
    desk.world.final = 40
    for _ in range(4):
        desk.scan()
    assert desk.found() == desk.world.transfers_of({MINE}, 0)


def test_a_refused_range_is_not_tried_again_in_the_same_scan(engine: Engine) -> None:
    """Though every answer is empty, which would let the span grow."""
    desk = Desk(engine, a_chain(span=64))
    desk.watch(MINE)
    desk.scan()
    desk.node.max_range = 8
    for _ in range(200):
        desk.world.mine()
    desk.world.final = 200
    desk.node.asked.clear()
    desk.scan()
    assert len(desk.node.asked) < 200 / 8 + 6
    assert desk.ranges()[0].last == 200


def test_a_new_address_is_filled_in_from_its_first_block(desk: Desk) -> None:
    """Final blocks and those that are not."""
    for units in range(1, 11):
        desk.world.mine((STRANGER, HERS, units))
    desk.world.final = 5
    desk.scan()
    assert desk.found() == {}
    desk.watch(HERS)
    desk.scan()
    assert desk.found() == desk.world.transfers_of({HERS}, 0)
    assert len(desk.found(final=True)) == 5


def test_many_addresses_are_sorted_here(desk: Desk) -> None:
    """Above the configured number all logs of the contract are read."""
    for number in range(20):
        desk.watch(f"0x{number + 1:040x}")
    desk.scan()
    desk.world.mine((STRANGER, f"0x{5:040x}", 8), (STRANGER, HERS, 9))
    desk.node.asked.clear()
    desk.scan(later=timedelta(seconds=5))
    assert list(desk.found().values()) == [8]
    assert len(desk.node.asked) <= 4


def test_of_a_large_book_only_what_logs_name_is_looked_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that finds nothing of ours reads no address."""
    for number in range(20):
        desk.watch(f"0x{number + 1:040x}")
    desk.scan()
    asked: list[set[str]] = []
    look_up = findings.watched_among

    def noted(connection: Connection, chain: str, named: Collection[str]) -> frozenset[str]:
        asked.append(set(named))
        return look_up(connection, chain, named)

    monkeypatch.setattr(findings, "watched_among", noted)
    desk.scan(later=timedelta(seconds=5))
    assert asked == []
    desk.world.mine((STRANGER, HERS, 9), (STRANGER, f"0x{5:040x}", 8), (f"0x{6:040x}", STRANGER, 7))
    desk.scan(later=timedelta(seconds=5))
    assert asked == [{STRANGER, HERS, f"0x{5:040x}", f"0x{6:040x}"}]
    assert sorted(desk.found().values()) == [7, 8]


def test_many_new_addresses_are_filled_in_together(desk: Desk) -> None:
    """More than can be named in a question: all transfers of their earlier blocks are read, and sorted here."""
    many = [f"0x{number + 1:040x}" for number in range(20)]
    for units in range(1, 11):
        desk.world.mine((STRANGER, many[units], units), (STRANGER, HERS, 99))
    desk.world.final = 5
    desk.scan()
    for address in many:
        desk.watch(address)
    desk.scan()
    assert desk.found() == desk.world.transfers_of(set(many), 0)
    assert len(desk.found(final=True)) == 5


def test_a_gap_in_the_ledger_is_found_and_filled(desk: Desk) -> None:
    """However it came: reading goes on from the end of what is whole."""
    for units in range(1, 31):
        desk.world.mine((STRANGER, MINE, units))
    desk.world.final = 30
    for _ in range(3):
        desk.scan()
    last = desk.ranges()[0]
    with writing(desk.engine) as connection:
        connection.execute(delete(scan_ranges))
        connection.execute(delete(transfers))
        for first, end, block_hash in ((0, 9, desk.world.blocks[9].hash), (20, last.last, last.last_hash)):
            row = {
                "chain": "ethereum",
                "first_block": first,
                "last_block": end,
                "last_hash": block_hash,
                "scanned_at": NOON,
            }
            connection.execute(scan_ranges.insert().values(**row))
    desk.scan()
    assert desk.world.transfers_of({MINE}, 10, 19).items() <= desk.found().items()
    assert gaps(desk.ranges(), 0, 30) == []
    assert len(desk.ranges()) == 1


def test_the_look_back_finds_what_a_node_left_out(desk: Desk) -> None:
    """Once a day, and what it finds is kept."""
    for _ in range(10):
        desk.world.mine()
    desk.world.final = 10
    desk.scan()
    block = desk.world.blocks[5]
    block.logs.append(moved(World().mine((STRANGER, MINE, 77)).logs[0], block, 0))
    desk.scan()
    assert desk.found() == {}
    desk.scan(later=timedelta(days=1))
    assert list(desk.found().values()) == [77]


def test_decimals_that_are_no_number_are_a_fault_of_the_node_that_tells_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one of the list is asked, and the chains behind this one are read."""
    garbled = ScriptedNode(desk.world, name="1:garbled")
    monkeypatch.setattr(garbled, "_called", lambda *_: "0x" + "zz" * 32)
    assert desk.scan(garbled) == "degraded"
    assert desk.scan(garbled, ScriptedNode(desk.world, name="2:true")) == "scanned"


def test_decimals_that_are_changed_in_the_file_stop_the_next_scan(desk: Desk) -> None:
    """Not an hour of wrong amounts later."""
    desk.world.mine((STRANGER, MINE, 5))
    desk.chain = a_chain(tokens=(Token(contract=USDT, decimals=18),))
    assert desk.scan(later=timedelta(seconds=10)) == "stopped"
    assert desk.found() == {}


def test_finality_that_stalls_is_said_and_what_waited_is_read_later(desk: Desk) -> None:
    """Blocks beyond the window are not read before; a halt must not look like a quiet chain."""
    for units in range(1, 21):
        desk.world.mine((STRANGER, MINE, units))
    desk.scan()
    assert desk.ranges()[0].last == 16
    assert desk.state("trouble") == "finality_stalled"
    desk.world.final = 12
    desk.scan()
    assert desk.found() == desk.world.transfers_of({MINE}, 0)
    assert desk.state("trouble") is None


def test_a_second_scan_waits_for_the_first(desk: Desk) -> None:
    """One reads a chain at a time."""
    with writing(desk.engine) as connection:
        values = {"name": "scan:ethereum", "owner": "other", "fence": 1, "expires_at": NOON + timedelta(days=1)}
        connection.execute(delete(leases))
        connection.execute(leases.insert().values(**values))
    assert desk.scan() == "busy"


@pytest.fixture(scope="module")
def kept_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One database for all examples, emptied before each."""
    engine = make_engine(f"sqlite:///{tmp_path_factory.mktemp('scan') / 'relay.db'}")
    upgrade(engine)
    yield engine
    engine.dispose()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mine"), st.integers(0, 2)),
        st.tuples(st.just("pay, scan and lose"), st.integers(1, 3)),
        st.tuples(st.just("reorg"), st.sampled_from(["1 lost", "2 lost", "4 lost", "1 kept", "3 kept", "5 kept"])),
        st.tuples(st.just("finalise"), st.integers(0, 5)),
        st.tuples(st.just("scan"), st.sampled_from(["", "", "", "timeout", "other hashes", "doubled and shuffled"])),
        st.tuples(st.just("lag"), st.integers(0, 3)),
        st.tuples(st.just("watch"), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=settings.default.max_examples * 3 // 10)  # type: ignore[union-attr]  # a profile is loaded
@given(STEPS)
def test_the_final_state_is_what_a_slow_oracle_finds(kept_engine: Engine, steps: list[tuple[str, int | str]]) -> None:
    """Random blocks, reorgs, outages and restarts: afterwards what stands is what the true chain holds."""
    with writing(kept_engine) as connection:
        for table in (
            addresses,
            chain_blocks,
            chain_nodes,
            chains,
            leases,
            scan_ranges,
            token_events,
            transfers,
            address_scans,
        ):
            connection.execute(delete(table))
    desk = Desk(kept_engine)
    desk.watch(MINE)
    desk.scan()
    watching = {MINE}
    for what, how in steps:
        _step(desk, watching, what, how)
    desk.node.lie, desk.node.behind = "", 0
    # A branch counts when it is longer than the one before it.
    for _ in range(8):
        desk.world.mine((STRANGER, MINE, 1))
    # Blocks beyond the window are read when finality goes on.
    desk.world.final = max(desk.world.final, desk.world.head - 8)
    for _ in range(4):
        desk.scan(later=timedelta(hours=1))
    assert desk.found() == desk.world.transfers_of(watching, 0)
    assert desk.found(final=True) == desk.world.transfers_of(watching, 0, desk.world.final)
    assert gaps(desk.ranges(), 0, desk.world.head) == []
    assert len(desk.ranges()) == 1


def _step(desk: Desk, watching: set[str], what: str, how: int | str) -> None:
    world = desk.world
    match what, how:
        case "mine", int(count_):
            world.mine(*[(STRANGER, to, 10 + count_) for to in (MINE, HERS)[:count_]])
        case "reorg", str(plan):
            _reorg(world, int(plan[0]), kept=plan.endswith("kept"))
        case "pay, scan and lose", int(depth):
            for _ in range(depth):
                world.mine((STRANGER, MINE, 20))
            desk.node.lie, desk.node.behind = "", 0
            desk.scan()
            _reorg(world, depth, kept=False)
        case "finalise", int(count_):
            world.final = min(world.head, world.final + count_)
        case "lag", int(count_):
            desk.node.behind = count_
        case "scan", str(lie):
            desk.node.lie = lie
            desk.scan()
        case "watch", _ if HERS not in watching:
            watching.add(HERS)
            desk.watch(HERS)


def _reorg(world: World, depth: int, *, kept: bool) -> None:
    """Replace the last blocks that are not final; `kept` puts the same transactions into other blocks, in the other order."""
    gone = world.reorg(min(depth, world.head - world.final))
    for old in reversed(gone):
        block = world.mine()
        if kept:
            block.logs += [moved(log, block, index) for index, log in enumerate(old.logs)]
