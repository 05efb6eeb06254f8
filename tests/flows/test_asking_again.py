"""The second question: what a provider has not confirmed of a day it is asked about the day after, and once more a week after."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from relay.core.days import Calendar
from relay.flows.asking_again import ask_again, begin
from relay.flows.polling import Poller
from relay.store import rows
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.edge.providers import FakeProvider
from tests.fakes import numbered_ids
from tests.flows.creating import World, a_world
from tests.rows import a_stored_order

PAID = {"status": 1, "amount": "3.5", "txid": "ab", "t": 1_700_000_000}


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    """A source that can be asked, with two orders that were credited by their callbacks alone."""
    with a_world(engine) as found:
        for orderid in ("sh-1", "sh-2"):
            found.create(orderid=orderid)
            found.provider.paid[orderid] = PAID
        with writing(engine) as connection:
            connection.execute(update(rows.orders).values(state="succeeded", credited_micros=3_500_000))
        yield found


def again(world: World, *, days: float, for_s: float = 8) -> int:
    """What the clock and a worker do so many days after NOON."""
    world.clock.pass_by((NOON + timedelta(days=days) - world.clock.now()).total_seconds())
    begin(world.engine, world.creator.sources, Calendar(), now=world.clock.now())
    return ask_again(Poller(creator=world.creator, new_id=numbered_ids(f"d{days}_")), for_s=for_s)


def asked(world: World) -> list[str]:
    """The orders that were asked about, in order."""
    return [fields["orderid"] for _, path, fields in world.provider.asked if path.endswith("orderstatus")]


def told(world: World) -> list[Any]:
    """The runs of whole days."""
    with reading(world.engine) as connection:
        found = connection.execute(select(rows.runs).order_by(rows.runs.c.id)).mappings()
        return [{**row, **json.loads(row["manifest"])} for row in found]


def test_what_was_never_confirmed_is_asked_about_once(world: World) -> None:
    """On the next day, in the account's pace; a week after, as everything agrees, nobody is asked."""
    again(world, days=0.4)
    assert asked(world) == []
    again(world, days=1)
    again(world, days=1.1)
    assert asked(world) == ["sh-1", "sh-2"]
    again(world, days=7)
    assert asked(world) == ["sh-1", "sh-2"]
    first, second = told(world)
    assert (first["kind"], first["state"], first["subject"]) == (
        "daily",
        "complete",
        f"2026-11-23+1 {world.source.name}",
    )
    assert {name: first[name] for name in ("orders", "credited", "paid", "asked", "answered", "disagreeing")} == {
        "orders": 2,
        "credited": 2,
        "paid": 2,
        "asked": 2,
        "answered": 2,
        "disagreeing": 0,
    }
    assert (first["credited_usdt"], first["paid_usdt"]) == ("7.000000", "7.000000")
    assert (second["subject"], second["asked"]) == (f"2026-11-23+7 {world.source.name}", 0)


def test_what_the_provider_denies_is_asked_about_again(world: World) -> None:
    """The facts change by it, and so the next run looks at the order."""
    world.provider.paid["sh-2"] = {"status": 0}
    again(world, days=1)
    again(world, days=7)
    assert asked(world) == ["sh-1", "sh-2", "sh-2"]
    assert told(world)[1]["disagreeing"] == 1


def test_an_answer_that_says_nothing_is_told(world: World) -> None:
    """The run is incomplete, and names how much is missing."""
    answers = iter([(502, b""), None])
    world.provider.before = lambda _: next(answers)
    again(world, days=1)
    (run,) = told(world)
    assert (run["state"], run["asked"], run["answered"]) == ("incomplete", 2, 1)
    assert run["reason"].endswith("1 of 2 questions had no usable answer")


def test_it_goes_on_in_the_next_round(world: World) -> None:
    """A round has but a few seconds; what nobody has paid is asked about as well."""
    world.create(orderid="sh-3")
    again(world, days=1, for_s=0.5)
    assert (asked(world), told(world)) == (["sh-1", "sh-2"], [])
    again(world, days=1.01)
    assert asked(world) == ["sh-1", "sh-2", "sh-3"]
    assert told(world)[0]["asked"] == 3


def test_a_slow_provider_keeps_no_other_days_waiting(world: World) -> None:
    """It answers when the other one, whose day comes behind its own, was asked."""
    other = FakeProvider()
    beside = replace(world.source, name="shop", base_url=other.url)
    a_stored_order(world.engine, "be-1", source="shop", updated_at=NOON)
    was_asked = threading.Event()
    in_time: list[bool] = []
    other.before = lambda _: was_asked.set()
    world.provider.before = lambda _: in_time.append(was_asked.wait(4))
    world.creator = replace(world.creator, sources={"crossing": world.source, "shop": beside})
    again(world, days=1)
    other.close()
    assert in_time == [True, True]
