"""Orders meet their transfers, on both databases, and one that awaited the chain is credited by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from relay.core.actors import Actor
from relay.core.sources import Source
from relay.flows.committer import Committer
from relay.flows.confirmation import end_grace
from relay.flows.judgement import Arrival
from relay.flows.matching import PAGE, match
from relay.flows.timeline import order_with_timeline
from relay.store.engine import reading, writing
from relay.store.rows import breaks, chains, events, matches, orders, provider_facts, transfers
from tests.builders import NOON, a_callback, a_source
from tests.fakes import FakeMemory, numbered_ids
from tests.flows.test_scan import MINE, Desk
from tests.nodes.scripted import STRANGER, moved
from tests.rows import a_stored_order, a_stored_transfer, add, an_address

HERE, THERE = "0x" + "a" * 40, "0x" + "b" * 40
BY_CHAIN = a_source(evidence=frozenset({"signature", "chain"}), chains=("ethereum",))
PLAIN = a_source()
SHARED = a_source(address_kind="shared")
PERSON = Actor(id="key_1", name="Ada", roles=frozenset({"admin"}))
LATER = NOON + timedelta(minutes=1)


class Matcher:
    """Calls the flows as the processes do."""

    def __init__(self, engine: Engine, source: Source = PLAIN) -> None:
        self.engine, self.source, self.at, self.new_id = engine, source, LATER, numbered_ids()
        self._committer = Committer(engine, FakeMemory(), clock=lambda: self.at, new_id=self.new_id)

    def receive(self, **changes: Any) -> None:
        """Send one callback through."""
        raw = {"source": "crossing", "received_at": self.at}
        self._committer.submit(Arrival(raw=raw, callback=a_callback(**changes), source=self.source), timeout_s=10)

    def match(self, *, at: datetime | None = None) -> dict[str, tuple[str, str]]:
        """Match once; return (order, rule) of each transfer by the last digit of its hash."""
        self.at = at or self.at
        self.changed = match(self.engine, {"crossing": self.source}, now=self.at, new_id=self.new_id)
        return {row.tx_hash[-1]: (row.orderid, row.rule) for row in self.rows(matches)}

    def rows(self, table: Any) -> Sequence[Any]:
        """Everything a table holds."""
        with reading(self.engine) as connection:
            return connection.execute(select(table).order_by(*table.primary_key.columns)).all()

    @property
    def unmatched(self) -> dict[str, str]:
        """Why transfers have no order."""
        return {row.tx_hash[-1]: row.unmatched for row in self.rows(transfers) if row.unmatched}

    def order(self, orderid: str = "sh-1") -> Any:
        """One order."""
        return next(row for row in self.rows(orders) if row.orderid == orderid)


@pytest.fixture
def matcher(engine: Engine) -> Matcher:
    """The flows on one database, with one address where users pay to."""
    an_address(engine, HERE)
    return Matcher(engine)


def an_open_order(engine: Engine, orderid: str = "sh-1", **columns: Any) -> None:
    """Store an unpaid order of 3 USDT that was registered with the address."""
    usual = {"state": "created", "credited_micros": 0, "amount_micros": None, "registered": True, "user_ref": None}
    asked = {"chain": "ethereum", "address": HERE, "expected_micros": 3_000_000}
    a_stored_order(engine, orderid, **usual | asked | columns)


def test_each_rung_finds_its_order(matcher: Matcher) -> None:
    """What is told, by a callback or the provider and in any spelling; an address of its own; what fits once."""
    engine = matcher.engine
    told = a_stored_transfer(engine, 1, HERE, amount_micros=1)
    asked = a_stored_transfer(engine, 2, HERE, amount_micros=2)
    matcher.receive(orderid="sh-1", tx_hash=told[2:].upper())
    matcher.receive(orderid="sh-2", signature="2")
    stamps = {"changed_at": NOON, "checked_at": NOON}
    fact = {"source": "crossing", "namespace": "crossing", "orderid": "sh-2", "via": "query", "raw_status": "paid"}
    add(engine, provider_facts, **fact, tx_hash=asked, **stamps)
    an_open_order(engine, "sh-3", address=an_address(engine, THERE))
    a_stored_transfer(engine, 3, THERE, amount_micros=9)
    assert matcher.match() == {"1": ("sh-1", "tx"), "2": ("sh-2", "tx"), "3": ("sh-3", "address")}
    assert [row.flags for row in matcher.rows(matches)] == ["amount", "amount", "amount"]
    assert matcher.unmatched == {}


def test_a_shared_address_needs_an_amount_that_fits_once(engine: Engine) -> None:
    """Two orders, or two transfers, of one amount are nobody's until something tells them apart."""
    matcher = Matcher(engine, SHARED)
    an_address(engine, HERE)
    for number, micros in enumerate([3_000_000, 3_000_000, 4_000_000, 5_000_000]):
        an_open_order(engine, f"sh-{number}", expected_micros=micros)
    for number, micros in enumerate([3_000_000, 4_000_000, 5_000_000, 5_000_000, 6_000_000]):
        a_stored_transfer(engine, number + 1, HERE, amount_micros=micros)
    assert matcher.match() == {"2": ("sh-2", "amount")}
    assert matcher.unmatched == {"1": "ambiguous", "3": "ambiguous", "4": "ambiguous", "5": "nobody"}
    matcher.receive(orderid="sh-1", tx_hash=f"0x{1:064x}")
    assert matcher.match(at=LATER + timedelta(minutes=1))["1"] == ("sh-1", "tx")


def test_newer_orders_of_other_chains_hide_none_of_this_one(matcher: Matcher) -> None:
    """A user's address may be the same on several chains: of two orders here each is one that the money may be meant for."""
    for number, chain in enumerate(["ethereum", "ethereum", "bsc", "bsc", "bsc"]):
        an_open_order(matcher.engine, f"sh-{number}", chain=chain, expected_micros=(number + 1) * 1_000_000)
    a_stored_transfer(matcher.engine, 1, HERE, amount_micros=7_000_000)
    a_stored_transfer(matcher.engine, 2, HERE, amount_micros=1_000_000)
    assert matcher.match() == {"2": ("sh-0", "amount")}


def test_an_older_order_of_this_chain_is_not_forgotten_for_newer_ones_of_others(matcher: Matcher) -> None:
    """Money that may be meant for two is no order's, however many were made elsewhere since."""
    for number, chain in enumerate(["ethereum", "ethereum", "bsc", "bsc"]):
        an_open_order(matcher.engine, f"sh-{number}", chain=chain, expected_micros=(number + 1) * 1_000_000)
    a_stored_transfer(matcher.engine, 1, HERE, amount_micros=7_000_000)
    assert matcher.match() == {}


def test_of_a_transaction_that_pays_a_provider_twice_an_order_takes_its_own_amount(engine: Engine) -> None:
    """At a provider's address other merchants' orders are paid too, in one transaction with ours as well."""
    matcher = Matcher(engine)
    an_address(engine, HERE, role="provider")
    told = a_stored_transfer(engine, 1, HERE)
    a_stored_transfer(engine, 1, HERE, log_index=1, amount_micros=500_000_000)
    matcher.receive(tx_hash=told)
    matcher.match()
    assert [(row.log_index, row.orderid) for row in matcher.rows(matches)] == [(0, "sh-1")]


def test_the_money_of_a_users_own_address_is_of_the_order_that_was_called_back_for_it(matcher: Matcher) -> None:
    """Where the provider makes the order when the money comes, and names neither address nor transaction."""
    engine = matcher.engine
    an_address(engine, THERE, namespace="crossing", owner="1")
    a_stored_transfer(engine, 1, THERE, amount_micros=3_000_050)
    a_stored_transfer(engine, 2, HERE)
    assert matcher.match() == {}
    matcher.receive()
    assert matcher.match(at=LATER + timedelta(minutes=1)) == {"1": ("sh-1", "amount")}


def test_an_order_that_awaited_the_chain_is_credited_by_its_final_transfer(engine: Engine) -> None:
    """And its event names the transfer, with its confirmations."""
    matcher = Matcher(engine, BY_CHAIN)
    an_address(engine, HERE)
    add(engine, chains, name="ethereum", chain_id=1, span=16, head_number=104)
    an_open_order(engine)
    told = a_stored_transfer(engine, 1, HERE, is_final=False, block_number=100)
    matcher.receive()
    matcher.match()
    assert (matcher.order().state, matcher.changed) == ("confirming", 0)
    with writing(engine) as connection:
        connection.execute(transfers.update().values(is_final=True))
    matcher.match()
    assert (matcher.order().state, matcher.changed) == ("succeeded", 1)
    body = json.loads(matcher.rows(events)[-1].body)
    assert body["data"]["transfer"] == {
        "chain": "ethereum",
        "tx_hash": told,
        "log_index": 0,
        "block_number": 100,
        "confirmations": 5,
    }
    matcher.match()
    assert matcher.changed == 0
    assert [row.type for row in matcher.rows(events)] == ["recharge.succeeded"]


def test_a_callback_that_comes_after_its_transfer_is_credited_at_once(engine: Engine) -> None:
    """The transfer was matched with the registered order before."""
    matcher = Matcher(engine, BY_CHAIN)
    an_open_order(engine, address=an_address(engine, HERE))
    a_stored_transfer(engine, 1, HERE)
    matcher.match()
    assert matcher.order().state == "created"
    matcher.receive()
    assert matcher.order().state == "succeeded"


def test_an_order_that_becomes_known_after_its_transfer_need_not_wait_for_the_next_look(engine: Engine) -> None:
    """Where it awaits the chain, its transfer is woken."""
    matcher = Matcher(engine, BY_CHAIN)
    add(engine, chains, name="ethereum", chain_id=1, span=16)
    an_address(engine, HERE)
    told = a_stored_transfer(engine, 1, HERE)
    matcher.match(at=NOON + timedelta(days=2))
    assert matcher.unmatched == {"1": "nobody"}
    matcher.receive(tx_hash=told)
    assert matcher.match() == {"1": ("sh-1", "tx")}
    assert matcher.order().state == "succeeded"


def test_a_user_whose_order_awaits_the_chain_is_found_by_the_address_book(engine: Engine) -> None:
    """The order itself has no address."""
    matcher = Matcher(engine, BY_CHAIN)
    an_address(engine, HERE, namespace="crossing", owner="1")
    a_stored_transfer(engine, 1, HERE)
    matcher.match()
    matcher.receive()
    assert matcher.match() == {"1": ("sh-1", "amount")}
    assert matcher.order().state == "succeeded"


def test_what_never_comes_is_held_after_the_grace(engine: Engine) -> None:
    """With both sums in the break."""
    matcher = Matcher(engine, BY_CHAIN)
    an_open_order(engine, address=an_address(engine, HERE))
    a_stored_transfer(engine, 1, HERE, amount_micros=2_000_000)
    matcher.receive()
    matcher.match()
    assert matcher.order().state == "confirming"
    end_grace(engine, {"crossing": BY_CHAIN}, now=LATER + timedelta(seconds=300), new_id=matcher.new_id)
    assert (matcher.order().state, matcher.order().held_reason) == ("held", "evidence_missing")
    assert json.loads(matcher.rows(breaks)[0].evidence) == {"chain": "3.000000 / 2.000000"}
    assert [row.flags for row in matcher.rows(matches)] == ["amount"]


def test_no_two_orders_have_one_transfer(matcher: Matcher) -> None:
    """Two that name it have neither; and the key of the table would not let them."""
    told = a_stored_transfer(matcher.engine, 1, HERE)
    for number in (1, 2):
        matcher.receive(orderid=f"sh-{number}", signature=f"s{number}", tx_hash=told)
    assert matcher.match() == {}
    assert matcher.unmatched == {"1": "ambiguous"}
    row = {"chain": "ethereum", "tx_hash": told, "log_index": 0, "namespace": "crossing", "rule": "tx"}
    add(matcher.engine, matches, **row, orderid="sh-1", matched_at=NOON)
    with pytest.raises(IntegrityError):
        add(matcher.engine, matches, **row, orderid="sh-2", matched_at=NOON)


def test_money_that_leaves_is_looked_at_once(matcher: Matcher) -> None:
    """No order will ever claim it."""
    a_stored_transfer(matcher.engine, 1, an_address(matcher.engine, THERE, role="collection"))
    matcher.match()
    assert [(row.look_at, row.unmatched) for row in matcher.rows(transfers)] == [(None, "outgoing")]


def test_more_than_a_page_is_matched_in_one_run(matcher: Matcher) -> None:
    """And orphaned ones are left alone."""
    an_open_order(matcher.engine)
    for number in range(PAGE + 5):
        a_stored_transfer(matcher.engine, number + 1, HERE)
    a_stored_transfer(matcher.engine, 999, HERE, is_final=False, orphaned_at=NOON)
    matcher.match()
    assert len(matcher.rows(matches)) == PAGE + 5


def test_the_story_of_an_order_shows_its_transfers(matcher: Matcher) -> None:
    """With chain, block, hash, confirmations and state, spelled as people know them."""
    add(matcher.engine, chains, name="tron", chain_id=2, span=16, head_number=110)
    an_address(matcher.engine, THERE, chain="tron")
    an_open_order(matcher.engine, chain="tron", address=THERE)
    states: list[dict[str, Any]] = [{"is_final": True}, {"is_final": False}, {"is_final": False, "orphaned_at": NOON}]
    for number, state in enumerate(states):
        a_stored_transfer(matcher.engine, number + 1, THERE, chain="tron", block_number=101 + number)
        matcher.match()
        with writing(matcher.engine) as connection:
            connection.execute(transfers.update().where(transfers.c.block_number == 101 + number).values(**state))
    _, steps = order_with_timeline(matcher.engine, {"crossing": PLAIN}, "crossing", "sh-1", actor=PERSON)
    shown = [(step.id, step.facts["state"], step.facts["confirmations"]) for step in steps if step.what == "transfer"]
    assert shown == [(f"{1:064x}", "final", 10), (f"{2:064x}", "seen", 9), (f"{3:064x}", "orphaned", 0)]
    assert steps[1].facts["recipient"].startswith("T")


def test_a_transfer_that_is_mined_again_is_matched_again(engine: Engine) -> None:
    """What the scan finds is what the matcher meets; another log index is another row of the same order."""
    desk, matcher = Desk(engine), Matcher(engine)
    desk.watch(MINE)
    desk.scan()
    an_open_order(engine, address=MINE)
    old = desk.world.mine((STRANGER, MINE, 3_000_000))
    desk.scan()
    assert [rule for _, rule in matcher.match(at=desk.now).values()] == ["address"]
    desk.world.reorg(1)
    new = desk.world.mine((STRANGER, STRANGER, 1))
    new.logs.append(moved(old.logs[0], new, 1))
    desk.world.mine()
    desk.scan()
    matcher.match(at=desk.now)
    assert sorted((row.log_index, row.orderid) for row in matcher.rows(matches)) == [(0, "sh-1"), (1, "sh-1")]
    desk.world.final = desk.world.head
    desk.scan()
    matcher.match(at=desk.now)
    assert [row.final_at is not None for row in matcher.rows(matches)] == [False, True]
