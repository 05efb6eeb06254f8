"""An endpoint's filters decide in the one statement that writes deliveries, wherever they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text

from relay.bootstrap import new_event_id
from relay.core.filters import filter_columns
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.flows.outcomes import announce_all
from relay.store import replays
from relay.store.engine import FEED_LOCK, make_engine, reading, writing
from relay.store.migrate import downgrade, upgrade
from relay.store.rows import deliveries, events
from relay.store.rows import replays as table
from tests.builders import NOON, a_callback, a_source
from tests.fakes import FakeMemory, numbered_ids, round_trips_of
from tests.rows import a_stored_order, an_endpoint

MICROS = 3_000_000


def subscribe(engine: Engine, **filters: Any) -> str:
    """An endpoint with these filters."""
    return an_endpoint(engine, **filter_columns(filters, ("crossing", "other")))


def pay(engine: Engine, **changes: Any) -> None:
    """Let one order be paid."""
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=new_event_id)
    callback = a_callback(**changes)
    committer.commit([Arrival(raw={"source": "crossing", "received_at": NOON}, callback=callback, source=a_source())])


def told(engine: Engine) -> list[str]:
    """The endpoints that deliveries were written for."""
    with reading(engine) as connection:
        return sorted(connection.scalars(select(deliveries.c.endpoint_id)))


@pytest.mark.parametrize(
    ("filters", "is_told"),
    [
        ({"sources": ["crossing"]}, True),
        ({"sources": ["other"]}, False),
        ({"appid": "VunT0000h1l8"}, True),
        ({"appid": "VunT0000h1l"}, False),
        ({"user_prefix": "shop-1"}, True),
        ({"user_prefix": "shop-17"}, True),
        ({"user_prefix": "shop-177"}, False),
        ({"user_prefix": "shop_1"}, False),
        ({"user_prefix": "SHOP"}, False),
        ({"amount_min": "3"}, True),
        ({"amount_min": "3.000001"}, False),
        ({"amount_max": "3"}, True),
        ({"amount_max": "2.999999"}, False),
        ({"amount_min": "1", "amount_max": "5", "user_prefix": "shop-"}, True),
        ({"amount_min": "1", "amount_max": "5", "user_prefix": "bar-"}, False),
        ({"flags": ["clock"]}, True),
        ({"flags": ["late", "recovered", "clock"]}, True),
        ({"flags": ["late"]}, False),
    ],
)
def test_an_event_passes_all_filters_or_none_is_told(engine: Engine, filters: dict[str, Any], *, is_told: bool) -> None:
    """Beside an endpoint without filters, which is told in either case; a replay of what is missing finds no more."""
    everything, filtered = an_endpoint(engine), subscribe(engine, **filters)
    pay(engine, user_ref="shop-17", amount_micros=MICROS, flags=frozenset({"clock"}))
    wanted = sorted([everything, filtered] if is_told else [everything])
    assert told(engine) == wanted
    with writing(engine) as connection:
        connection.execute(deliveries.delete())
    with writing(engine, lock=FEED_LOCK) as connection:
        everyone = dict.fromkeys(column.name for column in table.columns) | {"which": "missing"}
        assert replays.send(connection, everyone, [1], now=NOON) == len(wanted)
    assert told(engine) == wanted


@pytest.mark.parametrize(
    "filters", [{"appid": "a"}, {"user_prefix": "1"}, {"amount_min": "0"}, {"amount_max": "100"}, {"flags": ["late"]}]
)
def test_an_order_that_lacks_what_is_asked_for_does_not_pass(engine: Engine, filters: dict[str, Any]) -> None:
    """A subscriber of one tenant is never told of an order that is nobody's."""
    everything = an_endpoint(engine)
    subscribe(engine, **filters)
    unsaid = {"state": "created", "credited_micros": 0, "amount_micros": None, "amount_raw": None}
    a_stored_order(engine, "sh-1", appid=None, user_ref=None, registered=True, **unsaid)
    with writing(engine) as connection:
        row = {"sequence": 1, "id": "evt_1", "type": "recharge.expired", "flags": "", "body": "{}", "created_at": NOON}
        connection.execute(insert(events).values(namespace="crossing", orderid="sh-1", **row))
    with writing(engine, lock=FEED_LOCK) as connection:
        everyone = dict.fromkeys(column.name for column in table.columns) | {"which": "missing"}
        replays.send(connection, everyone, [1], now=NOON)
    assert told(engine) == [everything]


def test_what_tells_of_no_order_is_not_filtered_by_what_orders_have(engine: Engine) -> None:
    """An alert has neither user nor amount; who asked for it gets it."""
    types = ",relay.alert,recharge.succeeded,"
    filters = filter_columns({"user_prefix": "shop-", "amount_min": "1", "flags": ["late"], "appid": "a"}, ())
    pager = an_endpoint(engine, event_types=types, **filters)
    with writing(engine, lock=FEED_LOCK) as connection:
        announce_all(
            connection, [("relay.alert", {"reason": "many_breaks", "not_told": 3})], now=NOON, new_id=numbered_ids()
        )
    pay(engine, user_ref="bar-1")
    assert told(engine) == [pager]


def test_filters_cost_no_exchange(engine: Engine) -> None:
    """A batch is as many exchanges with the database as without them."""
    counts = []
    for number in range(2):
        with round_trips_of(engine) as sent:
            pay(engine, orderid=f"sh-{number}", signature=f"s{number}")
        counts.append(len(sent))
        for _ in range(3):
            subscribe(engine, user_prefix="1", amount_min="1", flags=["late", "clock"])
    assert counts[0] == counts[1]


def test_events_of_the_release_before_say_what_they_are_filtered_by(database_url: str) -> None:
    """The revision reads it from their bodies."""
    engine = make_engine(database_url)
    downgrade(engine, "0014")
    bodies = {
        1: ("recharge.succeeded", {"type": "recharge.succeeded", "data": {"appid": "a", "user_ref": 'u"ä'}}),
        2: ("recharge.expired", {"type": "recharge.expired", "data": {"appid": None, "user_ref": None}}),
        3: ("relay.alert", {"type": "relay.alert", "data": {}}),
    }
    insertion = text(
        "INSERT INTO events (sequence, id, type, flags, body, created_at) VALUES (:n, :id, :type, '', :body, :at)"
    )
    with writing(engine) as connection:
        for number, (kind, body) in bodies.items():
            given = {"n": number, "id": f"evt_{number}", "type": kind, "at": "2026-11-23 12:00:00"}
            connection.execute(insertion, given | {"body": json.dumps(body, ensure_ascii=False)})
    upgrade(engine)
    with reading(engine) as connection:
        found = connection.execute(select(events.c.appid, events.c.user_ref).order_by(events.c.sequence)).all()
    assert [tuple(row) for row in found] == [("a", 'u"ä'), (None, None), (None, None)]
    engine.dispose()
