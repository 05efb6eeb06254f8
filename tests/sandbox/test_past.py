"""A fresh sandbox has three days behind it: through the one door, at their times, with something to decide."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from config.settings import load
from relay.bootstrap import Runtime, build, desk_of
from relay.core.people import hashed
from relay.flows import breaks, close, holds
from relay.flows.days import day_named
from relay.sandbox.past import DAYS, ORDERS, live_through
from relay.sandbox.plan import Plan, prepare
from relay.store import break_list, closes, people, rows
from relay.store import holds as holds_store
from relay.store.break_list import Filters
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import a_person

NOW = NOON + timedelta(hours=3)
PAT, ALEX = (people.person(name, [role]) for name, role in (("pat", "preparer"), ("alex", "approver")))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The plan of a first start."""
    return prepare(tmp_path / "sandbox.json")


@pytest.fixture
def runtime(plan: Plan, database_url: str, redis_url: str) -> Runtime:
    """The relay on the sandbox's own settings."""
    return build(load(plan.environment() | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_first_start_has_days_to_close_and_a_second_has_none_more(runtime: Runtime, plan: Plan) -> None:
    """Every callback was accepted at its own time; one is contradicted and two are held; no subscriber is told."""
    assert live_through(runtime, plan, now=NOW) == DAYS * ORDERS + 1
    assert live_through(runtime, plan, now=NOW) == 0
    with reading(runtime.engine) as connection:
        kept = connection.execute(select(rows.callbacks)).mappings().all()
        states = Counter(connection.scalars(select(rows.orders.c.state)))
        assert connection.execute(select(rows.deliveries)).first() is None
        (found,) = break_list.page(connection, Filters(), after=None, limit=9).rows
    assert Counter(row["verdict"] for row in kept) == {"accepted": DAYS * ORDERS, "conflict": 1}
    assert sorted({str(row["received_at"].date()) for row in kept}) == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert (states["held"], found["kind"], found["severity"]) == (3, "duplicate_conflict", 1)
    runtime.engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_first_day_closes_at_once_and_the_second_after_a_decision(runtime: Runtime, plan: Plan) -> None:
    """As finance meets them: the oldest open day first, and what the break lacks is told."""
    live_through(runtime, plan, now=NOW)
    a_person(runtime.engine, "pat", "preparer", password=hashed("x", b"s" * 16))
    desk = desk_of(runtime)
    with reading(runtime.engine) as connection:
        first = close.oldest_open(connection, desk.calendar, NOW)
        days = [day_named(connection, desk.calendar, first.date + timedelta(days=number)) for number in range(DAYS)]
    assert first.name == "2026-11-20"
    without_chain = close.Desk(desk.engine, desk.sources, {}, desk.calendar, desk.new_id)
    drafts = [close.draft(without_chain, day, version=1, previous=None, now=NOW) for day in days]
    assert [one.statement.bridge.residual for one in drafts] == [0, 0, 0]
    assert [len(one.obstacles) for one in drafts] == [0, 2, 3]
    with reading(runtime.engine) as connection:
        (found,) = closes.breaks_of(connection, days[1])
        (large,) = holds_store.without_break(connection, days[1])
    breaks.assign(runtime.engine, found["id"], "pat", actor=PAT, now=NOW)
    breaks.note(runtime.engine, found["id"], "the provider looks into it", actor=PAT, now=NOW)
    reason = "the user proves where it is from"
    holds.take(runtime.engine, large["namespace"], large["orderid"], "pat", reason, actor=PAT, now=NOW)
    assert close.draft(without_chain, days[1], version=1, previous=None, now=NOW).obstacles == []
    runtime.engine.dispose()
