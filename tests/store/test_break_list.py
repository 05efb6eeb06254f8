"""Breaks by filters and pages: each is met once, whatever the order, and a cursor of one's own making is refused."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from relay.core.chain_addresses import show_address
from relay.errors import Unprocessable
from relay.store import break_list, lookup
from relay.store.break_list import Filters
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import a_break, a_match, a_stored_callback, a_stored_order, a_stored_transfer

DAY = timedelta(days=1)


def walked(engine: Engine, filters: Filters) -> list[str]:
    """Every id by pages of two."""
    found, after = [], None
    while True:
        with reading(engine) as connection:
            page = break_list.page(connection, filters, after=after, limit=2)
        found += [row["id"] for row in page.rows]
        if page.next is None:
            return found
        after = str(page.next)


def some(engine: Engine) -> None:
    for number, (severity, days) in enumerate([(2, 0), (1, 2), (1, 1), (2, 0), (3, 5)]):
        a_break(engine, f"b{number}", severity=severity, first_seen=NOON - days * DAY, amount_micros=number * 1_000_000)
    a_stored_order(engine, "sh-b1", chain="tron")
    a_match(engine, a_stored_transfer(engine, 7, "0x" + "ab" * 20, chain="tron"), "sh-b2", chain="tron")
    a_break(engine, "done", state="resolved", first_seen=NOON - 3 * DAY, owner="pat", kind="missing_callback")


def test_pages_meet_each_break_once(engine: Engine) -> None:
    """Open ones the worst and oldest first, all of them the latest first."""
    some(engine)
    assert walked(engine, Filters()) == ["b1", "b2", "b0", "b3", "b4"]
    assert walked(engine, Filters(state="all")) == ["b3", "b0", "b2", "b1", "done", "b4"]


MET = [
    (Filters(severity=1), ["b1", "b2"]),
    (Filters(state="all", kind="missing_callback"), ["done"]),
    (Filters(state="resolved", owner="pat"), ["done"]),
    (Filters(owner="al"), []),
    (Filters(namespace="elsewhere"), []),
    (Filters(since=NOON - DAY, until=NOON), ["b2"]),
    (Filters(least_micros=2_000_000, most_micros=3_000_000), ["b2", "b3"]),
    (Filters(keys={("crossing", "sh-b4"), ("crossing", "none")}), ["b4"]),
    (Filters(keys=set()), []),
    (Filters(chain="tron"), ["b1", "b2"]),
    (Filters(chain="ethereum"), []),
]


def test_filters_meet_what_they_say(engine: Engine) -> None:
    """Bounds are half-open in time and closed in money."""
    some(engine)
    for filters, found in MET:
        assert walked(engine, filters) == found, filters
        with reading(engine) as connection:
            assert sum(one.count for one in break_list.counts(connection, filters)) == len(found)


def test_counts_are_by_class_and_severity(engine: Engine) -> None:
    """With the money and the oldest of each."""
    some(engine)
    with reading(engine) as connection:
        counts = break_list.counts(connection, Filters())
    assert [(one.severity, one.count, one.micros, one.oldest) for one in counts] == [
        (1, 2, 3_000_000, NOON - 2 * DAY),
        (2, 2, 3_000_000, NOON),
        (3, 1, 4_000_000, NOON - 5 * DAY),
    ]


def test_a_cursor_of_ones_own_making_is_refused(engine: Engine) -> None:
    """Bad input, not a fault of ours."""
    deep, huge, half = "[" * 3_000, f'[{10**30},"{NOON}","a"]', f'[1,"{NOON}","\\ud800"]'
    spelled = [urlsafe_b64encode(one.encode()).decode() for one in (deep, huge, half)]
    for after in ("x", "bm90", "WzEsMl0", "e30", "WyJhIiwiYiIsImMiXQ", "%00", *spelled):
        with reading(engine) as connection, pytest.raises(Unprocessable):
            break_list.page(connection, Filters(), after=after, limit=2)


def test_an_order_is_found_by_any_name(engine: Engine) -> None:
    """Its number, its transaction in any spelling, its address; one that only called back as well."""
    address = "0x" + "ab" * 20
    a_stored_order(engine, "sh-1", address=address)
    tx = a_stored_transfer(engine, 0xAB12, address)
    a_match(engine, tx, "sh-2")
    a_stored_callback(engine, verdict="conflict", namespace="crossing", orderid="sh-3", tx_hash="CD" * 32)
    named = {
        "sh-1": "sh-1",
        tx: "sh-2",
        tx[2:].upper(): "sh-2",
        show_address(address, "tron"): "sh-1",
        show_address(address, "evm"): "sh-1",
        "sh-3": "sh-3",
        "0x" + "cd" * 32: "sh-3",
    }
    for text, found in named.items():
        with reading(engine) as connection:
            assert lookup.orders_by(connection, text, namespaces=["crossing"], chains=["ethereum"]) == {
                ("crossing", found)
            }
    with reading(engine) as connection:
        assert lookup.orders_by(connection, "sh-9", namespaces=["crossing"], chains=["ethereum"]) == set()
