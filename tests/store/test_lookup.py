"""One search for every name that a person has of an order, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from relay.store.engine import make_engine, reading
from relay.store.lookup import Found, orders_named
from tests.rows import a_match, a_provider_fact, a_stored_callback, a_stored_order, a_stored_transfer, an_event

ADDRESS = "0x" + "ab" * 20
TRON = "TRavQugVEfPpa3NZvkS5bdqiSB6hx7qk85"
TX = f"0x{0xAA:064x}"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with one order that has everything, beside a few that are like it."""
    engine = make_engine(database_url)
    a_stored_order(engine, "sh-1", user_ref="u-1", amount_micros=1_234_500_000, address=ADDRESS, chain="ethereum")
    a_stored_order(engine, "u-1", user_ref="u-2", amount_micros=None, expected_micros=20_000_000)
    a_stored_order(engine, "sh-3", user_ref="u-3")
    an_event(engine, 1, id="evt_one", orderid="sh-1")
    a_match(engine, a_stored_transfer(engine, 0xAA, ADDRESS), "sh-1")
    yield engine
    engine.dispose()


def search(engine: Engine, text: str, **options: Any) -> Found:
    """Look for a text among the orders of the only source."""
    wanted = {"after": None, "limit": 50, **options}
    with reading(engine) as connection:
        return orders_named(connection, text, namespaces={"crossing"}, chains={"ethereum"}, **wanted)


def named(engine: Engine, text: str) -> list[tuple[str, list[str]]]:
    """The orders that a text names, and how."""
    return [(order["orderid"], ways) for order, ways in search(engine, text).rows]


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("sh-1", "order"),
        (ADDRESS, "address"),
        (ADDRESS.upper().replace("0X", "0x"), "address"),
        ("1,234.50", "amount"),
        ("1234.5", "amount"),
        ("evt_one", "event"),
        (TX, "transaction"),
        (TX[2:].upper(), "transaction"),
    ],
)
def test_an_order_is_found_by_whatever_names_it(engine: Engine, text: str, way: str) -> None:
    """Exactly, in each spelling that people use."""
    assert named(engine, text) == [("sh-1", [way])]


def test_an_amount_that_was_only_asked_for_finds_its_order(engine: Engine) -> None:
    """Whoever waits for a payment knows what was to be paid."""
    assert named(engine, "20") == [("u-1", ["amount"])]


def test_a_text_that_names_several_finds_them_all(engine: Engine) -> None:
    """The newest first, each with the way it was found."""
    assert named(engine, "u-1") == [("u-1", ["order"]), ("sh-1", ["user"])]


def test_who_named_a_transaction_is_found_too(engine: Engine) -> None:
    """The provider's answer and a callback, in whichever spelling they wrote it; one that was refused is not believed."""
    a_provider_fact(engine, "sh-3", tx_hash="BB" * 32)
    accepted = {"verdict": "accepted", "reason": None, "namespace": "crossing", "orderid": "u-1", "status": "succeeded"}
    a_stored_callback(engine, **accepted, tx_hash="0x" + "bb" * 32)
    a_stored_callback(engine, namespace="crossing", orderid="sh-1", tx_hash="0x" + "bb" * 32)
    assert named(engine, "0x" + "bb" * 32) == [("sh-3", ["transaction"]), ("u-1", ["transaction"])]


def test_nothing_near_is_found(engine: Engine) -> None:
    """It is a search for what is exactly so."""
    assert [named(engine, text) for text in ("sh", "SH-1", "1234.51", "%", "evt_", "0x12", "x" * 500)] == [[]] * 7


def test_many_orders_of_a_user_are_read_page_by_page(engine: Engine) -> None:
    """None twice, none left out."""
    for number in range(5):
        a_stored_order(engine, f"many-{number}", user_ref="u-9")
    first = search(engine, "u-9", limit=3)
    rest = search(engine, "u-9", limit=3, after=first.next)
    found = [order["orderid"] for page in (first, rest) for order, _ in page.rows]
    assert (found, rest.next) == ([f"many-{number}" for number in (4, 3, 2, 1, 0)], None)


def test_no_table_is_read_from_end_to_end(sqlite_url: str) -> None:
    """Each part of the one statement has an index of its own."""
    engine = make_engine(sqlite_url)
    sent: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *told: sent.append((told[2], told[3])))
    for text in (TX, "evt_one", "3.5", ADDRESS):
        search(engine, text)
    lookups = [one for one in sent if "UNION" in one[0]]
    with engine.connect() as connection:
        plans = [
            line[3]
            for statement, values in lookups
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    assert (len(lookups), [line for line in plans if line.startswith("SCAN") and "anon_" not in line]) == (4, [])
    engine.dispose()
