"""What the quick look calls settled, on both databases: never more than the rules would call matched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from relay.core.chains import NodeURL
from relay.flows.reconcile import reconcile
from relay.store import agreement, reconciling
from relay.store.engine import reading, writing
from relay.store.rows import chains, match_states
from tests.builders import NOON
from tests.flows.test_reconcile import LATER, House
from tests.nodes.scripted import a_chain
from tests.rows import (
    a_break,
    a_delivery,
    a_match,
    a_provider_fact,
    a_stored_callback,
    a_stored_order,
    a_stored_transfer,
    add,
    an_endpoint,
    an_event,
)

ADDRESS = "0x" + "a" * 40
CHANGED = {
    "another amount credited": "UPDATE orders SET credited_micros = 2000000",
    "not credited": "UPDATE orders SET state = 'held'",
    "a flag": "UPDATE orders SET flags = 'late'",
    "expired before it was paid": "UPDATE orders SET expires_at = '2026-11-23 11:00:00'",
    "another amount told": "UPDATE callbacks SET amount_micros = 2000000",
    "a refused callback": "UPDATE callbacks SET verdict = 'rejected'",
    "a clock ahead": "UPDATE callbacks SET occurred_at = '2026-11-23 18:00:00'",
    "a provider that waits": "UPDATE provider_facts SET status = 'pending'",
    "another amount heard": "UPDATE provider_facts SET amount_micros = 2000000",
    "another transaction heard": "UPDATE provider_facts SET tx_hash = 'ff'",
    "a transfer that is not final": "UPDATE transfers SET is_final = (1 = 0)",
    "another amount moved": "UPDATE transfers SET amount_micros = 2000000",
    "a transfer that lost its block": "UPDATE transfers SET is_final = (1 = 0), orphaned_at = '2026-11-23 18:00:00'",
    "a transaction named in vain": "DELETE FROM matches",
}


def settled(engine: Engine, *orderids: str) -> list[agreement.Agreed]:
    with reading(engine) as connection:
        return agreement.agreed(connection, [("crossing", orderid) for orderid in orderids])


def a_told_order(engine: Engine, orderid: str = "sh-1", number: int = 1, **columns: Any) -> str:
    """A credited order with its callback."""
    a_stored_order(engine, orderid, **{"address": ADDRESS} | columns)
    told = {"verdict": "accepted", "reason": None, "namespace": "crossing", "status": "succeeded"}
    paid = {"amount_micros": 3_000_000, "signature": f"signed-{number}", "occurred_at": NOON}
    a_stored_callback(engine, orderid=orderid, **told | paid)
    return orderid


def an_agreed_order(engine: Engine, orderid: str = "sh-1", number: int = 1) -> str:
    """All three say 3 USDT; the provider spells the transaction in its own way."""
    a_told_order(engine, orderid, number)
    tx_hash = a_stored_transfer(engine, number, ADDRESS, look_at=None)
    a_match(engine, tx_hash, orderid)
    a_provider_fact(engine, orderid, tx_hash=tx_hash.removeprefix("0x").upper())
    return orderid


def test_three_that_agree_are_settled(engine: Engine) -> None:
    """Once it is kept that the order stands so, nothing is to be written."""
    an_agreed_order(engine)
    (found,) = settled(engine, "sh-1", "unknown")
    assert found == ("crossing", "sh-1", "crossing", None, 3_000_000, True, True, True, False)
    state = {"namespace": "crossing", "orderid": "sh-1", "verdict": "matched", "drift_micros": 0, "changed_at": NOON}
    add(engine, match_states, **state)
    assert [one.stood for one in settled(engine, "sh-1")] == [True]


def test_a_witness_that_is_silent_contradicts_nobody(engine: Engine) -> None:
    """Whether the chain should have said something is for those to say who know whether it is read."""
    a_told_order(engine)
    assert [(one.has_provider, one.has_moved) for one in settled(engine, "sh-1")] == [(False, False)]
    a_provider_fact(engine, "sh-1")
    assert [(one.has_provider, one.has_moved) for one in settled(engine, "sh-1")] == [(True, False)]


@pytest.mark.parametrize("change", CHANGED)
def test_whatever_differs_is_left_to_the_rules(engine: Engine, change: str) -> None:
    """One thing is enough."""
    an_agreed_order(engine)
    with writing(engine) as connection:
        connection.execute(text(CHANGED[change]))
    assert settled(engine, "sh-1") == []


def test_so_is_what_has_a_break_or_a_dead_delivery_or_a_second_payment(engine: Engine) -> None:
    """Each of them may have an end to be written."""
    for number in range(1, 5):
        an_agreed_order(engine, f"sh-{number}", number)
    a_break(engine, "brk_1", orderid="sh-1")
    an_event(engine, 2)
    a_delivery(engine, 2, an_endpoint(engine), state="dead")
    a_match(engine, a_stored_transfer(engine, 9, ADDRESS, look_at=None), "sh-3")
    assert [one.orderid for one in settled(engine, *(f"sh-{number}" for number in range(1, 5)))] == ["sh-4"]


def test_a_run_ends_the_same_without_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of difference side by side, with a chain that is read: states, sums and hash are equal."""
    for number, change in enumerate(CHANGED, 1):
        orderid = an_agreed_order(engine, f"sh-{number}", number)
        table = CHANGED[change].split()[1 if CHANGED[change].startswith("UPDATE") else 2]
        mine = f"tx_hash = '0x{number:064x}'" if table in ("transfers", "matches") else f"orderid = '{orderid}'"
        with writing(engine) as connection:
            connection.execute(text(f"{CHANGED[change]} WHERE {mine}"))
    for number in range(30, 33):
        an_agreed_order(engine, f"sh-{number}", number)
    a_told_order(engine, "watched", 40)
    a_told_order(engine, "nowhere", 41, address=None)
    chain = a_chain(name="ethereum", nodes=(NodeURL(name="one", url="https://node.example"),))
    house = House(engine)
    house.bench = replace(house.bench, chains={"ethereum": chain})
    house.at = LATER + timedelta(hours=2)
    read = {"scanned_at": house.at, "final_time": house.at, "reading_since": NOON - timedelta(days=1)}
    add(engine, chains, name="ethereum", chain_id=1, **read)
    ended = []
    looks: list[Any] = [agreement.agreed, lambda *_: []]
    for look in looks:
        monkeypatch.setattr(agreement, "agreed", look)
        with writing(engine) as connection:
            connection.execute(match_states.delete())
            reconciling.mark_all(connection)
        reconcile(house.bench, now=house.at)
        with reading(engine) as connection:
            query = select(*(column for column in match_states.c if column.name != "changed_at"))
            states = connection.execute(query.order_by(match_states.c.orderid)).all()
            told = connection.scalar(text("SELECT manifest FROM runs ORDER BY id DESC LIMIT 1"))
        seen = json.loads(str(told))
        ended.append((states, [seen[name] for name in ("judged", "micros", "open", "orders_sha256")]))
    assert ended[0] == ended[1]
    assert {row.verdict for row in ended[0][0]} >= {"matched", "break"}
