from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert

from relay.store import board, rows
from relay.store.board import BoardTotals
from relay.store.engine import reading, writing

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SERVICES = ("wallet", "ledger", "billing")


def add_endpoints(connection: Connection) -> None:
    for number, name in enumerate(SERVICES):
        values = {"id": f"ep_{name}", "url": f"http://127.0.0.1/{name}", "description": name, "secrets": "[]"}
        usual = {"format": "standard", "state": "enabled", "concurrency": 32}
        moment = NOW + timedelta(seconds=number)
        connection.execute(insert(rows.endpoints).values(**values, **usual, created_at=moment))


def add_order(connection: Connection, number: int, **changes: Any) -> None:
    """An order that was credited with 3 USDT, its event, and its deliveries, of which billing's took two attempts."""
    at = NOW + timedelta(seconds=number)
    state = changes.get("state", "succeeded")
    order = {"namespace": "crossing", "orderid": f"sh-{number}", "source": "crossing", "state": state, "version": 1}
    money = {"amount_micros": 3_000_000, "credited_micros": 3_000_000 if state == "succeeded" else 0}
    times = {"registered": False, "flags": "", "created_at": at, "updated_at": at}
    connection.execute(insert(rows.orders).values({**order, **money, **times, **changes}))
    known = {"sequence": number, "id": f"evt_{number}", "type": f"recharge.{state}", "flags": "", "body": "{}"}
    place = {"namespace": "crossing", "orderid": f"sh-{number}", "created_at": at}
    connection.execute(insert(rows.events).values(**known, **place))
    for offset, name in enumerate(SERVICES):
        add_delivery(connection, number * 10 + offset, number, name, tries=2 if name == "billing" else 1, at=at)


def add_delivery(connection: Connection, id_: int, sequence: int, name: str, *, tries: int, at: datetime) -> None:
    done = at + timedelta(milliseconds=12)
    key = {"id": id_, "event_sequence": sequence, "endpoint_id": f"ep_{name}", "state": "delivered", "attempts": tries}
    rest = {"failures": tries - 1, "unknowns": 0, "due_at": at, "created_at": at, "finished_at": done}
    connection.execute(insert(rows.deliveries).values(**key, **rest))
    for number in range(1, tries + 1):
        outcome = ("delivered", 200) if number == tries else ("failed", 503)
        values = {"delivery_id": id_, "number": number, "started_at": at, "outcome": outcome[0], "status": outcome[1]}
        connection.execute(insert(rows.attempts).values(**values))


def test_an_order_is_read_with_what_the_board_shows_of_it(engine: Engine) -> None:
    """Times are aware on both databases, flags a set."""
    with writing(engine) as connection:
        add_endpoints(connection)
        add_order(connection, 1, flags="late recovered", user_ref="12")
    with reading(engine) as connection:
        found = board.board_orders(connection, "crossing", ["sh-1", "sh-9"])
    assert set(found) == {"sh-1"}
    assert (found["sh-1"].flags, found["sh-1"].credited_micros) == (frozenset({"late", "recovered"}), 3_000_000)
    assert found["sh-1"].created_at == NOW + timedelta(seconds=1)


def test_deliveries_come_by_service_with_the_last_refusal(engine: Engine) -> None:
    """In the order in which the endpoints were made."""
    with writing(engine) as connection:
        add_endpoints(connection)
        add_order(connection, 1)
    with reading(engine) as connection:
        found = board.board_deliveries(connection, "crossing", ["sh-1"])["sh-1"]
    assert [(one.service, one.attempts, one.refusal) for one in found] == [
        ("wallet", 1, None),
        ("ledger", 1, None),
        ("billing", 2, 503),
    ]
    assert found[0].finished_at == NOW + timedelta(seconds=1, milliseconds=12)


def test_only_the_last_event_of_an_order_is_shown(engine: Engine) -> None:
    """What was said before is history; a deleted endpoint is nobody."""
    with writing(engine) as connection:
        add_endpoints(connection)
        add_order(connection, 1)
        later = {"sequence": 2, "id": "evt_2", "type": "recharge.held", "flags": "", "body": "{}"}
        connection.execute(insert(rows.events).values(**later, namespace="crossing", orderid="sh-1", created_at=NOW))
        add_delivery(connection, 99, 2, "wallet", tries=1, at=NOW)
        add_delivery(connection, 98, 2, "ledger", tries=1, at=NOW)
        connection.execute(rows.endpoints.update().where(rows.endpoints.c.id == "ep_ledger").values(deleted_at=NOW))
    with reading(engine) as connection:
        found = board.board_deliveries(connection, "crossing", ["sh-1"])["sh-1"]
    assert [(one.event_type, one.service) for one in found] == [("recharge.held", "wallet")]


def add_transfer(connection: Connection, block: int, **changes: Any) -> None:
    """Three USDT that arrived at the address of the test."""
    place = {"chain": "sandbox", "tx_hash": f"0x{block}", "log_index": 0, "block_number": block}
    block_ = {"block_hash": f"0xb{block}", "block_time": NOW, "seen_at": NOW}
    money = {"contract": "0xc", "sender": "0xs", "recipient": "0xa", "amount_micros": 3_000_000}
    connection.execute(insert(rows.transfers).values({**place, **block_, **money, **changes}))


def test_the_last_payment_that_stands_is_shown_with_its_confirmations(engine: Engine) -> None:
    """Its own block is the first; what is gone is shown where nothing stands; what arrived elsewhere or on another chain is none of an order's."""
    with writing(engine) as connection:
        add_order(connection, 1, chain="sandbox", address="0xa")
        add_order(connection, 2, chain="other", address="0xa")
        add_order(connection, 3, chain="sandbox", address="0xd")
        known = {"name": "sandbox", "chain_id": 1, "head_number": 12}
        connection.execute(insert(rows.chains).values(known))
        add_transfer(connection, 7)
        add_transfer(connection, 9, is_final=True)
        add_transfer(connection, 10, orphaned_at=NOW)
        add_transfer(connection, 11, recipient="0xb")
        add_transfer(connection, 12, recipient="0xd", orphaned_at=NOW)
    with reading(engine) as connection:
        found = board.board_transfers(connection, "crossing", ["sh-1", "sh-2", "sh-3"])
    assert {orderid: one.is_gone for orderid, one in found.items()} == {"sh-1": False, "sh-3": True}
    shown = found["sh-1"]
    assert (shown.block_number, shown.block_hash, shown.tx_hash) == (9, "0xb9", "0x9")
    assert (shown.confirmations, shown.is_final) == (4, True)


def test_totals_count_from_a_moment_on(engine: Engine) -> None:
    """What was held is not credited; an order of before does not count, nor one of another namespace."""
    with writing(engine) as connection:
        add_endpoints(connection)
        for number in (1, 2, 3):
            add_order(connection, number)
        add_order(connection, 4, state="held", held_reason="above_limit")
        add_order(connection, 5, flags="recovered")
        add_order(connection, 6, namespace="other")
    with reading(engine) as connection:
        sums = board.board_totals(connection, "crossing", since=NOW + timedelta(seconds=2))
        nothing = board.board_totals(connection, "crossing", since=NOW + timedelta(days=1))
    assert sums == BoardTotals(credited=3, credited_micros=9_000_000, held=1, held_micros=3_000_000, recovered=1)
    assert nothing == BoardTotals()


def test_the_newest_orders_come_first(engine: Engine) -> None:
    """As many as were asked for."""
    with writing(engine) as connection:
        add_endpoints(connection)
        for number in (1, 2, 3):
            add_order(connection, number)
    with reading(engine) as connection:
        assert board.newest(connection, "crossing", limit=2) == ["sh-3", "sh-2"]


@pytest.mark.parametrize("orders", [1, 40])
def test_the_number_of_queries_does_not_grow_with_the_orders(engine: Engine, orders: int) -> None:
    """Four statements, for one order and for forty."""
    with writing(engine) as connection:
        add_endpoints(connection)
        for number in range(1, orders + 1):
            add_order(connection, number)
    statements: list[str] = []
    orderids = [f"sh-{number}" for number in range(1, orders + 1)]
    with reading(engine) as connection:
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        assert len(board.board_orders(connection, "crossing", orderids)) == orders
        assert len(board.board_deliveries(connection, "crossing", orderids)) == orders
        assert board.board_transfers(connection, "crossing", orderids) == {}
        assert board.board_totals(connection, "crossing", since=NOW).credited == orders
    assert len(statements) == 4
