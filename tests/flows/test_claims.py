"""A transaction that witnesses name and that brought an order nothing is looked into, on both databases: scans first, then nodes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from relay.flows.claims import ask_nodes
from relay.store.engine import reading, writing
from relay.store.rows import chains, deliveries, named_transactions
from tests.builders import a_callback, a_source
from tests.flows.test_explaining import HERE, ON, ReceiptNode, logs
from tests.flows.test_reconcile import LATER, House
from tests.nodes.scripted import COUNTERFEIT, STRANGER
from tests.rows import a_match, a_provider_fact, a_stored_transfer, add, an_address, an_endpoint

TX = f"0x{1:064x}"
MINUTES = timedelta(minutes=10)


class Court(House):
    """A house that reads a chain, with an address where users pay to."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, a_source(chains=("ethereum",), grace_s=60))
        self.bench = replace(self.bench, chains={"ethereum": ON})
        an_address(engine, HERE)
        add(engine, chains, name="ethereum", chain_id=1, scanned_at=LATER, head_number=10)

    def credit(self, orderid: str) -> None:
        """Credit an order by a callback that names the transaction."""
        self.door.accept(a_callback(orderid=orderid, signature=orderid, tx_hash=TX), self.source)

    def go(self, *nodes: ReceiptNode, later: timedelta = MINUTES) -> set[str]:
        """Run, have nodes asked about what is due, and run again; return what is open."""
        self.at += later
        self.run()
        ask_nodes(self.engine, self.bench.chains, lambda _: nodes, now=self.at)
        self.run()
        return self.open()


@pytest.fixture
def court(engine: Engine) -> Court:
    return Court(engine)


def test_a_payment_that_two_orders_name_is_claimed_twice(court: Court) -> None:
    """The one that it does not belong to has the break, until its witnesses name another; batches are no claim."""
    court.credit("sh-1")
    court.credit("sh-2")
    a_match(court.engine, a_stored_transfer(court.engine, 1, HERE, look_at=None), "sh-1")
    assert "double_claim" not in court.go(later=timedelta(seconds=1))
    assert "double_claim" in court.go()
    with reading(court.engine) as connection:
        told = connection.scalar(text("SELECT evidence FROM breaks WHERE kind = 'double_claim'"))
        assert connection.scalar(text("SELECT orderid FROM breaks WHERE kind = 'double_claim'")) == "sh-2"
    assert '"orders":"sh-1"' in str(told)
    a_stored_transfer(court.engine, 1, HERE, log_index=1, look_at=None)
    a_match(court.engine, TX, "sh-2", log_index=1)
    assert "double_claim" not in court.go()


def test_a_scan_that_reads_it_later_settles_the_claim(court: Court) -> None:
    """The orders that name it are judged again, and no node is asked."""
    court.credit("sh-1")
    court.credit("sh-2")
    court.go(later=timedelta(seconds=1))
    a_match(court.engine, a_stored_transfer(court.engine, 1, HERE, look_at=None), "sh-1")
    assert "double_claim" in court.go()
    with reading(court.engine) as connection:
        assert connection.scalar(select(named_transactions.c.look_at)) is None


def test_money_on_another_network_is_told_as_that(court: Court) -> None:
    """The order was to be paid elsewhere."""
    court.credit("sh-1")
    a_stored_transfer(court.engine, 1, HERE, look_at=None)
    with writing(court.engine) as connection:
        connection.execute(text("UPDATE orders SET chain = 'tron'"))
    assert "asset_or_network_mismatch" in court.go()


@pytest.mark.parametrize(
    ("kind", "receipt"),
    [
        ("reverted_tx", {"status": "0x0", "blockNumber": "0x3", "logs": []}),
        ("wrong_token", logs((STRANGER, HERE, 5), contract=COUNTERFEIT)),
        (None, logs((STRANGER, HERE, 5))),
        (None, None),
    ],
)
def test_nodes_are_asked_about_what_no_scan_has_read(court: Court, kind: str | None, receipt: Any) -> None:
    """What they say is kept; what settles nothing is asked again, and no more when money came after all."""
    court.credit("sh-1")
    court.go(later=timedelta(seconds=1))
    node = ReceiptNode(receipt=receipt, transaction=None if receipt is None else {})
    assert court.go(node) & {"reverted_tx", "wrong_token"} == ({kind} if kind else set())
    with reading(court.engine) as connection:
        row = connection.execute(select(named_transactions)).mappings().one()
    assert (row["tries"], row["look_at"] is None) == (1, kind is not None)
    a_match(court.engine, a_stored_transfer(court.engine, 1, HERE, look_at=None), "sh-1")
    assert court.go(node) & {"reverted_tx", "wrong_token"} == set()


def test_what_was_not_sent_yet_waits_until_the_witnesses_agree(court: Court) -> None:
    """A class that holds stops it, and its end lets it go."""
    an_endpoint(court.engine)
    court.credit("sh-1")
    a_provider_fact(court.engine, "sh-1", status="failed")
    assert court.go() >= {"status_conflict"}
    assert court.count(deliveries, state="held") == 1
    with writing(court.engine) as connection:
        connection.execute(text("UPDATE provider_facts SET status = 'succeeded', changed_at = '2026-11-24 00:00:00'"))
    court.at += timedelta(days=1)
    assert "status_conflict" not in court.go()
    assert court.count(deliveries, state="pending") == 1
