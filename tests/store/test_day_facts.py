"""A day from stories with known ends: each order in one line of the bridge, and nothing left over."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from relay.core.days import Calendar
from relay.core.statement import Sum
from relay.store import day_facts, day_figures, rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import (
    a_break,
    a_credit,
    a_match,
    a_provider_fact,
    a_stored_callback,
    a_stored_order,
    a_stored_transfer,
    add,
    an_address,
)

DAY = Calendar().day(date(2026, 11, 23))
BEFORE, AFTER = NOON - timedelta(days=1), NOON + timedelta(days=1)
DEPOSIT, COLLECTION, USER = ("0x" + pair * 20 for pair in ("ab", "cd", "ef"))


def called(engine: Engine, orderid: str, micros: int, at=NOON, **columns) -> None:
    told = {"namespace": "crossing", "orderid": orderid, "status": "succeeded", "amount_micros": micros}
    a_stored_callback(engine, verdict="accepted", reason=None, received_at=at, **told | columns)


def stories(engine: Engine) -> dict[str, str]:
    """One order for each reason; returns what is expected of each."""
    million = 1_000_000
    told: list[tuple[str, int, int | None, datetime, dict[str, Any]]] = [
        ("agrees", 5, 5, NOON, {}),
        ("amount", 7, 6, NOON, {}),
        ("held", 20, None, NOON, {"state": "held", "held_reason": "above_limit", "credited_micros": 0}),
        ("awaits", 3, None, NOON, {"state": "confirming", "credited_micros": 0}),
        ("pending", 2, None, NOON, {"state": "pending", "credited_micros": 0}),
        ("later", 4, 4, AFTER, {}),
        ("refused", 1, None, NOON, {"state": "failed", "credited_micros": 0}),
        ("before us", 8, None, NOON, {"flags": "observed", "credited_micros": 0}),
        ("imported", 9, None, NOON, {"flags": "imported"}),
    ]
    for sequence, (orderid, paid, credited, at, order) in enumerate(told, start=1):
        a_stored_order(engine, orderid, **{"credited_micros": 9 * million} | order)
        called(engine, orderid, paid * million)
        if credited is not None:
            a_credit(engine, sequence, orderid, credited * million, at=at)
    a_provider_fact(engine, "stranger", amount_micros=11 * million)
    a_stored_order(engine, "lost", state="created", credited_micros=0)
    a_provider_fact(engine, "lost", amount_micros=13 * million)
    a_stored_order(engine, "earlier")
    called(engine, "earlier", 6 * million, at=BEFORE)
    a_credit(engine, 20, "earlier", 6 * million)
    a_stored_order(engine, "adjusted")
    called(engine, "adjusted", 6 * million, at=BEFORE)
    a_credit(engine, 21, "adjusted", 6 * million, at=BEFORE)
    a_credit(engine, 22, "adjusted", -2 * million)
    a_stored_order(engine, "by a person")
    a_credit(engine, 23, "by a person", 12 * million)
    a_stored_order(engine, "refunded", state="refunded", credited_micros=0)
    called(engine, "refunded", 3 * million)
    a_credit(engine, 24, "refunded", 3 * million)
    a_credit(engine, 25, "refunded", -3 * million, type="recharge.adjusted")
    return {
        "amount": "amount_differs",
        "held": "held",
        "awaits": "awaits_evidence",
        "pending": "pending",
        "later": "credited_other_day",
        "refused": "refused",
        "before us": "credited_elsewhere",
        "imported": "credited_elsewhere",
        "stranger": "unknown_order",
        "lost": "no_callback",
        "earlier": "paid_other_day",
        "adjusted": "changed_later",
        "by a person": "no_word",
        "refunded": "taken_back",
        "agrees": "agrees",
    }


def test_each_order_has_the_one_reason_that_explains_it(engine: Engine) -> None:
    """And the lines foot: totals and lines are read apart, and the residual is nothing."""
    expected = stories(engine)
    with reading(engine) as connection:
        listed = list(day_facts.items(connection, DAY))
        sums = day_facts.bridged(connection, DAY)
    assert {row["orderid"]: row["reason"] for row in listed} == expected
    (bridge,) = sums.bridges.values()
    assert bridge.residual == 0
    assert (bridge.provider, bridge.relay) == (Sum(12, 86_000_000), Sum(6, 27_000_000))
    assert sums.answered == Sum(2, 24_000_000)
    larger = [max(row["provider_micros"] or 0, row["relay_micros"] or 0) for row in listed]
    assert (sums.agreeing, sums.whole) == (Sum(1, 5_000_000), Sum(len(expected), sum(larger)))
    assert Counter(line.reason for line in bridge.lines) == Counter(set(expected.values()) - {"agrees"})


def test_the_bounds_of_a_day_are_half_open(engine: Engine) -> None:
    """The first moment belongs to it, the last one to the next: for callbacks, answers and credits alike."""
    ends = [
        (DAY.start, 1),
        (DAY.start - timedelta(microseconds=1), 0),
        (DAY.end, 0),
        (DAY.end - timedelta(microseconds=1), 1),
    ]
    for number, (at, _) in enumerate(ends):
        called(engine, f"called {number}", 1_000_000, at=at)
        a_provider_fact(engine, f"told {number}", occurred_at=at)
    for number, (at, _) in enumerate(sorted(ends)):
        a_credit(
            engine,
            number + 1,
            f"credited {number}",
            1_000_000,
            at=at.replace(microsecond=at.microsecond // 1000 * 1000),
        )
    with reading(engine) as connection:
        met = {row["orderid"] for row in day_facts.items(connection, DAY)}
    assert met == {"called 0", "called 3", "told 0", "told 3", "credited 1", "credited 2"}


def test_an_answer_counts_before_a_callback_and_two_dialects_count_once(engine: Engine) -> None:
    """One order, one word: the strongest."""
    a_stored_order(engine, "sh-1")
    called(engine, "sh-1", 9_000_000)
    a_provider_fact(engine, "sh-1", amount_micros=3_000_000)
    a_provider_fact(engine, "sh-1", source="crossing-v2", amount_micros=3_000_000)
    a_provider_fact(engine, "sh-2", occurred_at=None, changed_at=NOON)
    a_provider_fact(engine, "sh-3", status="pending")
    with reading(engine) as connection:
        sums = day_facts.bridged(connection, DAY)
        (row, _) = day_facts.items(connection, DAY)
    assert sums.bridges["crossing"].provider == sums.answered == Sum(2, 6_000_000)
    assert (row["by_word"], row["provider_micros"]) == ("answer", 3_000_000)


def test_a_generated_day_meets_its_known_totals(engine: Engine) -> None:
    """To the last unit, whatever came in which order; other days leave no trace."""
    dice = random.Random(7)
    paid, credited, sequence = Sum(), Sum(), 0
    # Callbacks are numbered as they come.
    for number, days in enumerate(sorted(dice.choice([-1, 0, 0, 0, 1]) for _ in range(120))):
        orderid, micros = f"sh-{number}", dice.randrange(1, 10**9)
        at = NOON + timedelta(days=days)
        is_credited = dice.random() < 0.8
        a_stored_order(
            engine, orderid, credited_micros=micros if is_credited else 0, state="succeeded" if is_credited else "held"
        )
        called(engine, orderid, micros, at=at)
        if is_credited:
            sequence += 1
            a_credit(engine, sequence, orderid, micros, at=at)
        if at == NOON:
            paid += Sum(1, micros)
            credited += Sum(1, micros) if is_credited else Sum()
    with reading(engine) as connection:
        bridges = day_facts.bridged(connection, DAY).bridges
        listed = list(day_facts.items(connection, DAY))
    bridge = bridges["crossing"]
    assert (bridge.provider, bridge.relay, bridge.residual) == (paid, credited, 0)
    assert sum(row["provider_micros"] or 0 for row in listed) == paid.micros
    assert sum(row["relay_micros"] or 0 for row in listed) == credited.micros


def test_what_moved_on_a_chain_is_told_apart(engine: Engine) -> None:
    """In, out, matched and not final; what a reorganisation took away moved nothing."""
    an_address(engine, DEPOSIT)
    moved: list[tuple[str, dict[str, Any]]] = [
        (DEPOSIT, {}),
        (DEPOSIT, {"amount_micros": 5_000_000}),
        (COLLECTION, {"sender": DEPOSIT, "amount_micros": 7_000_000}),
        (DEPOSIT, {"is_final": False}),
        (DEPOSIT, {"is_final": False, "orphaned_at": NOON}),
        (DEPOSIT, {"block_time": AFTER}),
        (USER, {}),
    ]
    for tx, (recipient, columns) in enumerate(moved, start=1):
        a_stored_transfer(engine, tx, recipient, **columns)
    a_match(engine, f"0x{1:064x}", "sh-1")
    a_match(engine, f"0x{2:064x}", "sh-2")
    a_stored_order(engine, "sh-2")
    with reading(engine) as connection:
        (chain,) = day_figures.moved(connection, DAY).values()
        item, other = day_facts.items(connection, DAY)
        sums = day_facts.bridged(connection, DAY)
    assert chain["received"] == Sum(2, 8_000_000)
    assert chain["collected"] == Sum(1, 7_000_000)
    assert chain["matched"] == Sum(2, 8_000_000)
    assert chain["unfinal"] == Sum(1, 3_000_000)
    assert chain["block"] == 7
    assert (item["orderid"], item["reason"], item["chain_micros"]) == ("sh-1", "chain_alone", 3_000_000)
    assert (other["orderid"], other["reason"]) == ("sh-2", "chain_only")
    assert (sums.bridges, sums.alone) == ({}, Sum(1, 3_000_000))


def test_what_is_open_is_counted_once(engine: Engine) -> None:
    """A held order with a break is one thing; an unclaimed transfer's break is one by itself; later ones are not this day's."""
    a_stored_order(engine, "sh-1", state="held", held_reason="x", credited_micros=0, amount_micros=20_000_000)
    a_break(engine, "b1", orderid="sh-1", amount_micros=20_000_000, severity=1)
    a_break(engine, "b2", orderid=None, namespace=None, amount_micros=3_000_000, first_seen=NOON - timedelta(days=2))
    a_break(engine, "b3", orderid=None, namespace=None, amount_micros=None, first_seen=AFTER)
    a_break(engine, "b4", state="resolved", resolved_at=NOON)
    with reading(engine) as connection:
        assert day_figures.needs(connection, DAY) == Sum(2, 23_000_000)
        assert day_figures.open_breaks(connection, DAY) == {1: Sum(1, 20_000_000), 2: Sum(1, 3_000_000)}
        opened, resolved = day_figures.turned(connection, DAY)
        ages = dict(day_figures.ages(connection, DAY, NOON + timedelta(hours=2)))
        needed = day_figures.needed(connection, DAY, limit=10)
    assert (opened, resolved) == (Sum(2, 21_000_000), Sum(1, 1_000_000))
    assert {name: one.count for name, one in ages.items() if one.count} == {"1 to 4 h": 1, "1 to 2 days": 1}
    assert [row["break_id"] for row in needed] == ["b1", "b2"]


def test_what_is_pending_is_no_break(engine: Engine) -> None:
    """By state, with its money; the longest waiting first."""
    a_stored_order(engine, "sh-1", state="confirming", credited_micros=0, updated_at=NOON)
    a_stored_order(engine, "sh-2", state="pending", credited_micros=0, amount_micros=None, updated_at=BEFORE)
    a_stored_order(engine, "sh-3", state="confirming", credited_micros=0, created_at=AFTER)
    with reading(engine) as connection:
        assert day_figures.pending(connection, DAY) == {"confirming": Sum(1, 3_000_000), "pending": Sum(1, 0)}
        assert [row["orderid"] for row in day_figures.pending_orders(connection, DAY, limit=9)] == ["sh-2", "sh-1"]


def test_who_was_heard_when(engine: Engine) -> None:
    """The last callback, answer and statement of each source; what is old is not looked for."""
    with reading(engine) as connection:
        nothing = day_figures.heard(connection, since=BEFORE)
    assert nothing == {"callback": {}, "answer": {}, "statement": {}}
    called(engine, "sh-1", 1, at=BEFORE)
    called(engine, "sh-2", 1, at=NOON)
    called(engine, "sh-3", 1, at=BEFORE, source="other")
    a_provider_fact(engine, "sh-1", via="query", checked_at=AFTER)
    a_provider_fact(engine, "sh-2", via="query", occurred_at=BEFORE - timedelta(hours=1), source="other")
    imported = {"sha256": "x", "rows": 1, "total_micros": 1, "imported_by": "x", "imported_at": NOON}
    add(engine, rows.statements, source="crossing", **imported)
    with reading(engine) as connection:
        heard = day_figures.heard(connection, since=BEFORE)
    assert heard == {
        "callback": {"crossing": NOON, "other": BEFORE},
        "answer": {"crossing": AFTER},
        "statement": {"crossing": NOON},
    }


def test_who_straddles_the_cut_off_is_listed_with_both_times(engine: Engine) -> None:
    """On both days; an order that agrees is not."""
    stories(engine)
    with reading(engine) as connection:
        found = day_facts.straddlers(connection, DAY, limit=9)
        after = day_facts.straddlers(connection, Calendar().day_at(AFTER), limit=9)
    assert [(row["orderid"], row["paid_at"], row["credited_at"]) for row in found] == [
        ("earlier", BEFORE, NOON),
        ("later", NOON, AFTER),
    ]
    assert [(row["orderid"], row["micros"]) for row in after] == [("later", 4_000_000)]


def test_accounts_foot_to_the_bridge(engine: Engine) -> None:
    """Each order counts for the account that its callback named, or for none."""
    stories(engine)
    a_stored_order(engine, "theirs", appid="A2")
    called(engine, "theirs", 2_000_000)
    a_credit(engine, 50, "theirs", 2_000_000)
    with reading(engine) as connection:
        sums = day_facts.bridged(connection, DAY)
    accounts, bridges = sums.accounts, sums.bridges
    assert accounts["A2"] == (Sum(1, 2_000_000), Sum(1, 2_000_000))
    paid, credited = (sum((one[side] for one in accounts.values()), Sum()) for side in (0, 1))
    assert (paid, credited) == (bridges["crossing"].provider, bridges["crossing"].relay)


def test_what_waits_has_the_day_on_which_it_turns(engine: Engine) -> None:
    """From the reconciler's own note; what is due on a day is summed."""
    a_stored_order(engine, "waits", state="confirming", credited_micros=0)
    state = {"namespace": "crossing", "verdict": "pending", "kinds": "", "flags": "", "changed_at": NOON}
    add(engine, rows.match_states, orderid="waits", due_at=AFTER, **state)
    with reading(engine) as connection:
        (row,) = day_figures.pending_orders(connection, DAY, limit=9)
        spans = [day_figures.turning(connection, at, at + timedelta(days=1)) for at in (NOON, AFTER)]
    assert row["due_at"] == AFTER
    assert spans == [Sum(), Sum(1, 3_000_000)]
