"""Money that is no order's has breaks of its own, on both databases: each opens by facts, and clears by facts where it can."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from relay.core.breaks import OF_CHAINS
from relay.flows import strays
from relay.flows.matching import match
from relay.store.engine import reading, writing
from relay.store.rows import addresses, breaks, dirty_strays, events, match_states, token_events, transfers
from tests.builders import NOON, a_source
from tests.flows.test_balances import USUAL, Till
from tests.flows.test_reconcile import LATER, House, house_rows
from tests.flows.test_scan import HERS, MINE
from tests.nodes.scripted import STRANGER, a_chain
from tests.rows import a_stored_order, a_stored_transfer, add, an_address

HERE, THERE, SAFE = (f"0x{digit * 40}" for digit in "abc")
PLAIN = a_source(grace_s=300)
GONE = "0x" + "99" * 20
OPENED_HERE = {"orphan_transfer", "ambiguous_match", "unexplained_outflow", "dust_or_poison"}


class Treasury(House):
    """A house whose transfers look for their orders before each run."""

    def __init__(self, engine: Engine, source: Any = PLAIN) -> None:
        super().__init__(engine, source)
        an_address(engine, HERE, owner="12", namespace="crossing")

    def go(self, later: timedelta = timedelta()) -> set[str]:
        """Match and run; return the classes that are open."""
        self.at += later
        match(self.engine, self.bench.sources, now=self.at, new_id=self.new_id)
        self.run()
        return self.open()

    def row(self, kind: str) -> dict[str, Any]:
        """The one break of a class, with its evidence read."""
        with reading(self.engine) as connection:
            row = connection.execute(select(breaks).where(breaks.c.kind == kind)).mappings().one()
        return {**row, "evidence": json.loads(row["evidence"])}


def an_order_for(engine: Engine, orderid: str, address: str = HERE, **columns: Any) -> None:
    """An unpaid order of 3 USDT with an address."""
    usual = {"state": "created", "credited_micros": 0, "amount_micros": None, "registered": True, "user_ref": "12"}
    a_stored_order(
        engine, orderid, **usual | {"chain": "ethereum", "address": address, "expected_micros": 3_000_000} | columns
    )


def test_money_of_nobody_is_an_orphan_until_an_order_takes_it(engine: Engine) -> None:
    """Not before it is final, and not before the grace is over."""
    house = Treasury(engine)
    tx_hash = a_stored_transfer(engine, 1, HERE, is_final=False)
    assert house.go() == set()
    house.at = NOON + timedelta(seconds=10)
    with writing(engine) as connection:
        connection.execute(update(transfers).values(is_final=True))
    assert (house.go(), house.count(dirty_strays)) == (set(), 1)
    assert house.go(later=timedelta(minutes=10)) == {"orphan_transfer"}
    row = house.row("orphan_transfer")
    assert (row["namespace"], row["orderid"], row["chain"]) == ("crossing", None, "ethereum")
    assert (row["tx_hash"], row["address"], row["subject"]) == (tx_hash, HERE, f"{tx_hash}/0")
    assert (row["amount_micros"], row["evidence"]["owner"]) == (3_000_000, "12")
    assert house.count(events, type="reconciliation.break.opened") == 1
    an_order_for(engine, "sh-1")
    assert house.go(later=timedelta(hours=7)) == set()
    assert house.row("orphan_transfer")["resolved_by"] == "reconciler"


def test_what_fits_several_orders_is_told_with_them(engine: Engine) -> None:
    """Until all but one of them are over."""
    house = Treasury(engine, replace(PLAIN, address_kind="shared"))
    for number in (1, 2):
        an_order_for(engine, f"sh-{number}")
    a_stored_transfer(engine, 1, HERE)
    assert "ambiguous_match" in house.go()
    assert house.row("ambiguous_match")["evidence"]["orders"] == "sh-2, sh-1"
    with writing(engine) as connection:
        connection.execute(text("UPDATE orders SET expected_micros = 9000000 WHERE orderid = 'sh-2'"))
    assert "ambiguous_match" not in house.go(later=timedelta(hours=7))


def test_money_that_leaves_for_nobody_we_know_is_told_at_once(engine: Engine) -> None:
    """Collected money is ordinary; the recipient's entry in the book explains the rest."""
    house = Treasury(engine)
    an_address(engine, SAFE, role="collection")
    a_stored_transfer(engine, 1, SAFE, sender=HERE)
    a_stored_transfer(engine, 2, GONE, sender=HERE)
    assert house.go() == {"unexplained_outflow"}
    row = house.row("unexplained_outflow")
    assert (row["severity"], row["evidence"]["sender"].lower(), row["namespace"]) == (1, HERE, "crossing")
    an_address(engine, GONE, role="external")
    assert house.go() == set()
    with writing(engine) as connection:
        connection.execute(update(addresses).where(addresses.c.address == GONE).values(role="deposit"))
    assert house.go() == {"unexplained_outflow"}


def test_dust_is_one_break_for_each_address_however_much_comes(engine: Engine) -> None:
    """It is counted, and never proposed to anybody."""
    house = Treasury(engine)
    for number in (1, 2, 3):
        a_stored_transfer(engine, number, HERE, amount_micros=0, rest=7)
    assert house.go() == {"dust_or_poison"}
    assert (house.row("dust_or_poison")["evidence"]["transfers"], house.row("dust_or_poison")["severity"]) == ("3", 4)


def test_what_was_there_before_us_is_no_break(engine: Engine) -> None:
    """Whoever ran before us dealt with it."""
    a_stored_transfer(engine, 1, HERE)
    assert Treasury(engine, replace(PLAIN, live_from=LATER)).go() == set()


def test_a_reorg_takes_the_break_with_the_transfer(engine: Engine) -> None:
    """What is gone is owed to nobody."""
    house = Treasury(engine)
    a_stored_transfer(engine, 1, HERE)
    assert house.go() == {"orphan_transfer"}
    with writing(engine) as connection:
        connection.execute(update(transfers).values(is_final=False, orphaned_at=LATER))
    assert house.go() == set()


def test_a_person_s_word_about_money_without_an_order_stands(engine: Engine) -> None:
    """And a run without change writes nothing of it."""
    house = Treasury(engine)
    a_stored_transfer(engine, 1, HERE)
    house.go()
    with writing(engine) as connection:
        connection.execute(update(breaks).values(state="resolved", resolved_by="user:pat"))
        connection.execute(text("UPDATE transfers SET unmatched = 'ambiguous'"))
        connection.execute(text("UPDATE transfers SET unmatched = 'nobody'"))
    assert house.go() == set()
    before = house_rows(engine)
    house.at += timedelta(minutes=1)
    house.run()
    after = house_rows(engine)
    assert after.pop("runs") != before.pop("runs")
    assert after == before
    assert house.count(match_states) == 0


@pytest.fixture
def till(engine: Engine) -> Till:
    """A chain whose balances are measured."""
    return Till(engine, **USUAL)


def gaps_of(till: Till) -> Treasury:
    """A house that knows the till's chain, and asks nobody."""
    house = Treasury(till.engine)
    house.bench = replace(house.bench, chains={"ethereum": a_chain()})
    return house


def test_a_balance_that_does_not_come_out_is_a_gap_until_the_missing_log_is_found(till: Till) -> None:
    """The daily look back finds it; nobody has to say anything."""
    house = gaps_of(till)
    till.mine()
    till.measure()
    block = till.world.mine((STRANGER, MINE, 9))
    late = block.logs.pop()
    till.mine((STRANGER, MINE, 1))
    block.logs.append(late)
    till.measure()
    assert "balance_gap" in house.go()
    row = house.row("balance_gap")
    assert (row["severity"], row["address"], row["amount_micros"]) == (1, MINE, 9)
    assert (row["evidence"]["gap"], row["evidence"]["received"]) == ("0.000009", "0.000001")
    till.scan(later=timedelta(days=1))
    assert "balance_gap" not in house.go()


@pytest.mark.parametrize("real", [MINE, HERS])
def test_gaps_that_stay_keep_no_other_open(till: Till, real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more than are looked at each time, each comes to its turn."""
    monkeypatch.setattr(strays, "MOST_GAPS", 1)
    till.watch(HERS)
    till.mine()
    till.measure()
    house = gaps_of(till)
    late = HERS if real == MINE else MINE
    block = till.world.mine((STRANGER, late, 9))
    left_out = block.logs.pop()
    till.mine((STRANGER, MINE, 1), (STRANGER, HERS, 1))
    block.logs.append(left_out)
    till.world.quietly.append((block.number, real, 9))
    till.measure()
    house.go()
    till.scan(later=timedelta(days=1))
    for _ in range(50):
        house.go()
    with reading(till.engine) as connection:
        rows = connection.execute(select(breaks).where(breaks.c.kind == "balance_gap", breaks.c.state == "open")).all()
    assert [row.address for row in rows] == [real]


def test_an_event_of_the_token_explains_a_gap(till: Till) -> None:
    """The break names it with its transaction."""
    house = gaps_of(till)
    till.mine((STRANGER, MINE, 10))
    till.measure()
    till.mine((STRANGER, MINE, 5))
    till.world.quietly.append((2, MINE, -15))
    burnt = {"chain": "ethereum", "log_index": 0, "block_hash": "0x1", "is_final": True, "seen_at": NOON}
    add(
        till.engine,
        token_events,
        **burnt,
        tx_hash="0x" + "5" * 64,
        block_number=2,
        contract=a_chain().tokens[0].contract,
        kind="DestroyedBlackFunds",
        account=MINE,
    )
    till.measure()
    assert {"non_transfer_move"} == house.go() & {"non_transfer_move", "balance_gap"}
    assert "DestroyedBlackFunds in 0x55" in house.row("non_transfer_move")["evidence"]["events"]


def test_every_class_of_chains_has_a_story_here() -> None:
    """A class without one is a promise that nobody has tried."""
    assert OPENED_HERE | {"balance_gap", "non_transfer_move"} == OF_CHAINS
