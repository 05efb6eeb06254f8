"""A fact about a sealed day goes to the day on which it came, marked; the sealed statement never changes, and the month foots."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from relay.core.days import Calendar, Day
from relay.core.statement import Statement, Sum
from relay.flows import breaks, close, prior_period
from relay.flows.days import statement_of
from relay.store import break_list, closes, day_facts, rows
from relay.store.break_list import Filters
from relay.store.engine import reading, writing
from tests.builders import NOON, a_source
from tests.fakes import numbered_ids
from tests.flows.test_close import AL, PAT, a_desk, a_paid_day, approved
from tests.rows import a_credit, a_provider_fact, a_stored_order
from tests.store.test_day_facts import called

MILLION = 1_000_000
FIRST, SECOND, THIRD = (Calendar().day(date(2026, 11, number)) for number in (23, 24, 25))
LATER = NOON + timedelta(days=1)


def told(engine: Engine, day: Day) -> Statement:
    with reading(engine) as connection:
        return statement_of(connection, day, {"crossing": a_source()}, {}, now=THIRD.end)


def sealed(engine: Engine, day: Day, *, at: datetime | None = None) -> None:
    moment = at or day.end + timedelta(hours=1)
    close.prepare(a_desk(engine), day, actor=PAT, now=moment)
    approved(a_desk(engine), day, actor=AL, now=moment)


def manifest(engine: Engine, day: Day) -> str:
    with reading(engine) as connection:
        row = closes.current(connection, day.name)
    assert row is not None
    return str(row["manifest"])


@pytest.fixture
def house(engine: Engine) -> Engine:
    """A sealed day on which 3 USDT were paid and credited, by a callback."""
    a_paid_day(engine)
    sealed(engine, FIRST)
    return engine


def test_a_late_answer_goes_to_the_day_on_which_it_came(house: Engine) -> None:
    """The sealed day stands as it was; the open one has it, marked, and its bridge ends at zero."""
    before, kept = told(house, FIRST), manifest(house, FIRST)
    a_stored_order(house, "lost", state="created", credited_micros=0)
    a_provider_fact(house, "lost", amount_micros=7 * MILLION, occurred_at=NOON, changed_at=LATER)
    after = told(house, FIRST)
    assert (after.bridge, after.late, manifest(house, FIRST)) == (before.bridge, Sum(), kept)
    with reading(house) as connection:
        row = closes.current(connection, FIRST.name)
        assert row is not None
        assert close.since_prepared(connection, FIRST, row, after) == []
    second = told(house, SECOND)
    assert (second.bridge.provider, second.late) == (Sum(1, 7 * MILLION), Sum(1, 7 * MILLION))
    assert (second.bridge.residual, [line.reason for line in second.bridge.lines]) == (0, ["no_callback"])
    with reading(house) as connection:
        (item,) = day_facts.items(connection, SECOND)
        (late,) = day_facts.late_items(connection, SECOND, limit=9)
    assert item["by_word"] == "late"
    assert (late["orderid"], late["occurred_at"], late["provider_at"]) == ("lost", NOON, LATER)


@pytest.mark.parametrize(("answered", "late"), [(3, 0), (5, 2), (1, -2)])
def test_what_a_sealed_day_counted_is_not_counted_again(house: Engine, answered: int, late: int) -> None:
    """Of an answer that says more or less than the callback did, the difference is late; of one that agrees, nothing."""
    a_provider_fact(house, "sh-1", amount_micros=answered * MILLION, occurred_at=NOON, changed_at=LATER)
    second = told(house, SECOND)
    assert (second.bridge.provider.micros, second.late.micros) == (late * MILLION, late * MILLION)
    assert second.bridge.residual == 0
    assert told(house, FIRST).bridge.provider.micros == 3 * MILLION


def test_an_answer_in_time_belongs_to_its_own_day(house: Engine) -> None:
    """Whenever it comes, as long as that day is not sealed; nothing of it is late."""
    a_stored_order(house, "sh-2", state="created", credited_micros=0)
    a_provider_fact(house, "sh-2", occurred_at=LATER, changed_at=LATER + timedelta(days=1))
    assert (told(house, SECOND).bridge.provider.count, told(house, SECOND).late) == (1, Sum())
    assert (told(house, THIRD).bridge.provider.count, told(house, THIRD).late) == (0, Sum())


def test_the_days_still_come_to_what_was_paid_and_credited(house: Engine) -> None:
    """Sealed one after the other while answers come late and callbacks later still: each payment is in one day."""
    a_stored_order(house, "lost")
    a_provider_fact(house, "lost", amount_micros=7 * MILLION, occurred_at=NOON, changed_at=LATER)
    a_credit(house, 90, "lost", 7 * MILLION, at=LATER)
    a_stored_order(house, "slow")
    called(house, "slow", 4 * MILLION, at=LATER)
    a_credit(house, 91, "slow", 4 * MILLION, at=LATER)
    sealed(house, SECOND)
    # It was paid on the first day, called back on the second, and is answered on the third, when both are sealed.
    a_provider_fact(house, "slow", amount_micros=4 * MILLION, occurred_at=NOON, changed_at=LATER + timedelta(days=1))
    days = [told(house, day) for day in (FIRST, SECOND, THIRD)]
    assert [day.bridge.provider.micros // MILLION for day in days] == [3, 11, 0]
    assert [day.bridge.relay.micros // MILLION for day in days] == [3, 11, 0]
    assert [day.bridge.residual for day in days] == [0, 0, 0]
    assert json.loads(manifest(house, SECOND))["late"] == {"amount": "7.000000", "count": 1}


def reopened(engine: Engine, day: Day, now: datetime) -> None:
    close.ask_to_reopen(a_desk(engine), day, "a late statement", actor=PAT, now=now)
    close.reopen(a_desk(engine), day, actor=AL, now=now)


def paid(engine: Engine, *days: Day) -> list[int]:
    return [told(engine, day).bridge.provider.micros // MILLION for day in days]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_day_that_is_opened_again_gets_back_what_no_sealed_day_has(house: Engine, *, is_first: bool) -> None:
    """Opened before the day on which it came was sealed, or after: in both cases it is counted once, and seals stand."""
    a_stored_order(house, "lost", state="created", credited_micros=0)
    a_provider_fact(house, "lost", amount_micros=7 * MILLION, occurred_at=NOON, changed_at=LATER)
    assert paid(house, FIRST, SECOND) == [3, 7]
    if is_first:
        reopened(house, FIRST, SECOND.end)
        assert paid(house, FIRST, SECOND) == [10, 0]
        sealed(house, FIRST, at=SECOND.end)
        sealed(house, SECOND)
        assert paid(house, FIRST, SECOND) == [10, 0]
    else:
        sealed(house, SECOND)
        reopened(house, FIRST, THIRD.end)
        assert paid(house, FIRST, SECOND) == [3, 7]
    with reading(house) as connection:
        row = closes.current(connection, SECOND.name)
        assert row is not None
        assert close.since_prepared(connection, SECOND, row, told(house, SECOND)) == []


@pytest.mark.parametrize("answered", [3, 5])
@pytest.mark.parametrize(
    "at", [NOON, None, SECOND.start + timedelta(seconds=5)], ids=["in time", "timeless", "at the cut"]
)
def test_each_payment_stays_in_one_day_whatever_is_sealed_anew(
    house: Engine, at: datetime | None, answered: int
) -> None:
    """A callback of a sealed day is answered on the next, which is sealed, too; then one after the other is opened again."""
    a_stored_order(house, "lost", state="created", credited_micros=0)
    a_provider_fact(house, "lost", amount_micros=7 * MILLION, occurred_at=NOON, changed_at=LATER)
    a_provider_fact(house, "sh-1", amount_micros=answered * MILLION, occurred_at=at, changed_at=LATER)
    expected = [3, 7 + answered - 3]
    assert paid(house, FIRST, SECOND) == expected
    sealed(house, SECOND)
    for number, day in enumerate((FIRST, SECOND), start=1):
        reopened(house, day, THIRD.end + timedelta(hours=2 * number))
        assert paid(house, FIRST, SECOND) == expected
        sealed(house, day, at=THIRD.end + timedelta(hours=2 * number + 1))
        assert paid(house, FIRST, SECOND) == expected
    kept = [json.loads(manifest(house, day))["bridge"]["provider"]["amount"] for day in (FIRST, SECOND)]
    assert kept == [f"{micros}.000000" for micros in expected]


def test_a_late_fact_is_a_break_that_a_person_accepts(house: Engine) -> None:
    """Announced once; closed it stays closed, until the provider says another amount."""
    desk = a_desk(house)
    a_stored_order(house, "lost", state="created", credited_micros=0)
    a_provider_fact(house, "lost", amount_micros=7 * MILLION, occurred_at=NOON, changed_at=LATER)
    assert [prior_period.open_breaks(desk, now=LATER) for _ in range(2)] == [1, 0]
    with reading(house) as connection:
        (row,) = break_list.page(connection, Filters(), after=None, limit=9).rows
        announced = connection.scalars(rows.events.select().with_only_columns(rows.events.c.type)).all()
    assert (row["kind"], row["amount_micros"], row["orderid"]) == ("prior_period_change", 7 * MILLION, "lost")
    assert announced.count("reconciliation.break.opened") == 1
    breaks.accept(house, row["id"], "their bank was closed", actor=PAT, now=LATER, new_id=numbered_ids("act"))
    assert prior_period.open_breaks(desk, now=LATER) == 0
    with writing(house) as connection:
        connection.execute(rows.provider_facts.update().values(amount_micros=8 * MILLION))
    assert prior_period.open_breaks(desk, now=LATER) == 1
    assert prior_period.open_breaks(desk, now=LATER + timedelta(days=5)) == 0


def test_a_late_fact_s_break_bears_the_source_that_told_it(house: Engine) -> None:
    """Services that name that source are told: several may share a namespace, which is no source's name then."""
    desk, late = a_desk(house), {"occurred_at": NOON, "changed_at": LATER}
    a_provider_fact(house, "lost", source="crossing-v2", amount_micros=7 * MILLION, **late)
    assert prior_period.open_breaks(desk, now=LATER) == 1
    opened = rows.events.select().where(rows.events.c.type == "reconciliation.break.opened")
    with reading(house) as connection:
        (event,) = connection.execute(opened).mappings()
    assert (event["source"], event["namespace"]) == ("crossing-v2", "crossing")
