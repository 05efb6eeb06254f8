"""The sums of a day of many orders are kept, and hold for a part of the day's age."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from relay.flows import day_sums
from relay.flows.day_sums import DaySums
from relay.store.engine import reading
from tests.rows import a_match, a_stored_order, a_stored_transfer
from tests.store.test_day_facts import DAY, called, stories

THEN = DAY.end + timedelta(days=2)


def known(engine: Engine, later: timedelta = timedelta()) -> DaySums:
    """What a page would show."""
    with reading(engine) as connection:
        return day_sums.known(connection, DAY, now=THEN + later)


@pytest.fixture
def made(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> DaySums:
    """The sums of a day of stories, which count as many here, as they were kept."""
    monkeypatch.setattr(day_sums, "MANY", 3)
    stories(engine)
    a_match(engine, a_stored_transfer(engine, 7, "0x" + "5" * 40), "agrees")
    made = known(engine)
    day_sums.keep(engine, DAY, made, now=THEN)
    return made


def test_what_is_kept_is_what_was_computed(engine: Engine, made: DaySums) -> None:
    """To the last unit and moment, and it says since when."""
    assert (len(made.straddlers), made.straddlers[0]["paid_at"].tzinfo is not None) == (2, True)
    assert known(engine) == replace(made, computed_at=THEN)
    assert made.moved


def test_it_holds_for_a_part_of_the_age_of_its_day(engine: Engine, made: DaySums) -> None:
    """Two hours after two days; then it is computed anew."""
    a_stored_order(engine, "one more")
    called(engine, "one more", 1_000_000, at=DAY.start)
    assert known(engine, timedelta(hours=1)).orders == made.orders
    anew = known(engine, timedelta(hours=3))
    assert (anew.orders, anew.computed_at) == (made.orders + 1, None)


def test_few_orders_are_summed_whenever_one_looks(engine: Engine) -> None:
    """So that a small house never sees an old figure."""
    stories(engine)
    day_sums.keep(engine, DAY, known(engine), now=THEN)
    assert known(engine).computed_at is None
