"""A credit that nobody holds is corrected by two persons, and their word stands until a witness says otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from relay.core.releases import Release, wish_of
from relay.errors import Conflict
from relay.flows import releases
from relay.flows.asked_acts import agree
from relay.store import audit
from relay.store.engine import reading, writing
from relay.store.rows import breaks, deliveries, provider_facts
from tests.builders import NOON
from tests.flows.test_asked_acts import AL, asked, till, what_became
from tests.flows.test_reconcile import LIVE, House
from tests.rows import a_delivery, a_provider_fact, a_stored_callback, a_stored_order, an_endpoint, an_event

HALF = wish_of("adjust", "the provider is right", "-10")


@pytest.fixture
def house(engine: Engine) -> House:
    """An order of which the callback said 20 USDT and the provider says 10: 20 are credited, and a service has given up."""
    house = House(engine, replace(LIVE, recover="off"))
    called = {"namespace": "crossing", "orderid": "sh-1", "amount_micros": 20_000_000}
    a_stored_order(engine, "sh-1", credited_micros=20_000_000, amount_micros=20_000_000)
    a_stored_callback(engine, verdict="accepted", reason=None, status="succeeded", received_at=NOON, **called)
    an_event(engine, 1, orderid="sh-1")
    a_delivery(engine, 1, an_endpoint(engine), state="dead")
    a_provider_fact(engine, "sh-1", amount_micros=10_000_000)
    house.run()
    house.run()
    assert house.open() == {"amount_mismatch", "delivery_gap"}
    return house


def corrected(house: House, wish: Release = HALF, act_id: str = "ask_1") -> None:
    """Pat asks, Al does it, and the next run looks at it."""
    agree(till(house), asked(house, wish, act_id=act_id), actor=AL, now=house.at)
    house.at += timedelta(minutes=1)
    house.run()


def say(house: House, **columns: Any) -> None:
    """The provider says something else."""
    house.at += timedelta(days=1)
    with writing(house.engine) as connection:
        connection.execute(update(provider_facts).values(**columns, changed_at=house.at))
    house.run()


def test_two_persons_correct_a_credit(house: House) -> None:
    """The services are told the difference; the break is over and stays so; who was never told is still owed the word."""
    corrected(house)
    assert (house.order("sh-1")["state"], house.order("sh-1")["credited_micros"]) == ("succeeded", 10_000_000)
    [told] = house.bodies("recharge.adjusted")
    assert json.loads(told)["data"]["delta"] == "-10.000000"
    assert house.open() == {"delivery_gap"}
    assert what_became(house.engine) == ("done", "user:al")
    with reading(house.engine) as connection:
        *_, act = audit.of_subject(connection, "crossing/sh-1", most=9)
        assert sorted(connection.scalars(select(deliveries.c.state))) == ["dead", "pending"]
    assert (act["act"], json.loads(act["detail"])["asked_by"]) == ("order.correct", "user:pat")


def test_their_word_stands_until_a_witness_says_otherwise(house: House) -> None:
    """What we credit is no witness: a correction in part is one too, and does not open the break again."""
    corrected(house, wish_of("adjust", "half of it was ours", "-5"))
    assert house.open() == {"delivery_gap"}
    say(house, amount_micros=12_000_000)
    assert house.open() == {"amount_mismatch", "delivery_gap"}


def test_all_of_it_may_be_taken_back_and_given_again(house: House) -> None:
    """To the last unit, never below nothing."""
    corrected(house, wish_of("adjust", "never paid", "-20"))
    assert (house.order("sh-1")["state"], house.order("sh-1")["credited_micros"]) == ("refunded", 0)
    corrected(house, wish_of("adjust", "it was", "20"), act_id="ask_2")
    assert (house.order("sh-1")["state"], house.order("sh-1")["credited_micros"]) == ("succeeded", 20_000_000)


def test_one_alone_corrects_nothing(house: House) -> None:
    """Whoever may end a hold alone may not touch a credit that nobody holds."""
    sources = house.bench.sources
    with pytest.raises(Conflict, match="by two persons"):
        releases.release(house.engine, sources, "crossing", "sh-1", HALF, actor=AL, now=NOON, new_id=house.new_id)
    with pytest.raises(Conflict, match="second person"):
        agree(till(house), asked(house, HALF, by=AL), actor=AL, now=house.at)
    assert house.bodies("recharge.adjusted") == []
    with reading(house.engine) as connection:
        assert set(connection.scalars(select(breaks.c.state))) == {"open"}
