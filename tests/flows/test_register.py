"""Orders made elsewhere, registered: line by line, again and again, beside callbacks for the same orders."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, select

from config.sources import parse_sources
from relay.core.actors import Actor
from relay.core.sources import Source
from relay.errors import Unprocessable
from relay.flows.addresses import import_addresses
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.flows.lines import Line
from relay.flows.register import BATCH, Registry, Result, register_orders
from relay.store import audit
from relay.store.engine import make_engine, reading
from relay.store.rows import addresses, events, orders
from tests.builders import NOON, paying
from tests.fakes import FakeMemory, numbered_ids
from tests.rows import an_endpoint

TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
TRON_HEX = "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c"


def the_sources() -> dict[str, Source]:
    """V1 beside V2 in one namespace, both paid on TRON, and another company's."""
    one = """
    [sources.crossing]
    adapter = "crossingpay-v1"
    appid = "VunT0000h1l8"
    secrets = ["secret-of-crossing"]
    """
    faults: list[str] = []
    crossing = replace(parse_sources(one, str, faults)["crossing"], chains=("tron",))
    assert faults == []
    later = replace(crossing, name="later")
    return {"crossing": crossing, "later": later, "other": replace(crossing, name="other", namespace="other")}


def a_registry(engine: Engine, **changes: Any) -> Registry:
    """What an admin registers with."""
    usual: dict[str, Any] = {
        "engine": engine,
        "sources": the_sources(),
        "allow_cidrs": (),
        "actor": Actor(id="key_1", name="a test", roles=frozenset({"service"})),
        "clock": lambda: NOON,
        "source": "crossing",
    }
    return Registry(**(usual | changes))


def lines(*told: dict[str, str]) -> Iterable[Line]:
    """Lines of a file, in order."""
    return [Line(number, fields) for number, fields in enumerate(told, 1)]


def register(engine: Engine, *told: dict[str, str], **changes: Any) -> list[Result]:
    """Register lines as an admin."""
    return list(register_orders(a_registry(engine, **changes), lines(*told)))


def outcomes(results: Iterable[Result]) -> list[str]:
    """What became of each line."""
    return [one.outcome for one in results]


def the_order(engine: Engine, orderid: str = "sh-1") -> Any:
    """An order as it is stored."""
    with reading(engine) as connection:
        return connection.execute(select(orders).where(orders.c.orderid == orderid)).one()


def call_back(engine: Engine, *orderids: str, micros: int = 3_000_000, source: str = "crossing") -> Committer:
    """Let paid callbacks through the door."""
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids())
    for orderid in orderids:
        callback = replace(paying(micros), orderid=orderid, signature=f"of-{orderid}")
        raw = {"source": source, "received_at": NOON}
        committer.commit([Arrival(raw=raw, callback=callback, source=the_sources()[source])])
    return committer


WHOLE = {
    "orderid": "sh-1",
    "user_ref": "1",
    "amount": "3",
    "chain": "tron",
    "address": TRON,
    "expires_at": "2026-11-23T13:00:00+01:00",
}


def test_a_registered_order_bears_what_was_said(engine: Engine) -> None:
    """The address in machine spelling, the amount in micros, the time in UTC."""
    assert outcomes(register(engine, WHOLE)) == ["accepted"]
    row = the_order(engine)
    assert (row.state, row.registered, row.expected_micros, row.address) == ("created", True, 3_000_000, TRON_HEX)
    assert (row.user_ref, row.appid, row.chain, row.expires_at) == ("1", "VunT0000h1l8", "tron", NOON)


def test_a_line_said_again_changes_nothing(engine: Engine) -> None:
    """A file may be imported twice, also a file that names an order twice."""
    assert outcomes(register(engine, WHOLE, WHOLE)) == ["accepted", "unchanged"]
    before = the_order(engine)
    assert outcomes(register(engine, WHOLE)) == ["unchanged"]
    assert the_order(engine) == before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_ref": "2"}, "user_ref contradicts what is known of the order"),
        ({"amount": "3.000001"}, "amount contradicts what is known of the order"),
        ({"expires_at": "2026-11-23T13:00:00Z"}, "expires_at contradicts what is known of the order"),
        ({"address": f"41{TRON_HEX[2:-1]}f"}, "address contradicts what is known of the order"),
    ],
)
def test_a_line_that_contradicts_is_refused(engine: Engine, changes: dict[str, str], reason: str) -> None:
    """What was said first stands; the line is told which field differs."""
    register(engine, WHOLE)
    before = the_order(engine)
    assert register(engine, WHOLE | changes) == [Result(1, "sh-1", "refused", reason)]
    assert the_order(engine) == before


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "orderid is missing"),
        ({"orderid": "sh-1", "source": "nobody"}, "source: no such source"),
        ({"orderid": "sh-1", "colour": "red"}, "'colour' is not known"),
        ({"orderid": "sh 1"}, "orderid is not of the form that crossing calls back with"),
        ({"orderid": "sh-1", "amount": "3,5"}, "amount must be a plain decimal number"),
        ({"orderid": "sh-1", "amount": "0.0000001"}, "amount USDT has six places at most"),
        ({"orderid": "sh-1", "address": TRON[:-1] + "u"}, "address has a wrong checksum"),
        ({"orderid": "sh-1", "chain": "base"}, "chain: crossing pays on tron"),
        ({"orderid": "sh-1", "expires_at": "tomorrow"}, "expires_at must be a time"),
        ({"orderid": "sh-1", "expires_at": "2026-11-23T13:00:00"}, "expires_at must be a time with its offset"),
        ({"orderid": "sh-1", "state": "paid"}, "state must be created or credited"),
        ({"orderid": "sh-1", "state": "credited"}, "amount must say what was credited"),
        ({"orderid": "sh-1", "notify_url": "https://shop.example/1"}, "notify_url: matches the prefix of no enabled"),
    ],
)
def test_a_bad_line_is_refused_alone(engine: Engine, fields: dict[str, str], reason: str) -> None:
    """Its neighbours are registered."""
    first, second, third = register(engine, {"orderid": "sh-8"}, fields, {"orderid": "sh-9"})
    assert (first.outcome, second.outcome, third.outcome) == ("accepted", "refused", "accepted")
    assert second.reason.startswith(reason)


def test_an_order_known_by_its_callback_is_completed(engine: Engine) -> None:
    """A callback may overtake the registration: what is missing is filled in, what was paid stays."""
    call_back(engine, "sh-1")
    assert outcomes(register(engine, WHOLE)) == ["accepted"]
    row = the_order(engine)
    assert (row.state, row.credited_micros, row.registered, row.expected_micros) == (
        "succeeded",
        3_000_000,
        True,
        3_000_000,
    )
    assert outcomes(register(engine, {"orderid": "sh-1", "user_ref": "2"})) == ["refused"]


def test_any_source_of_the_namespace_means_the_same_order(engine: Engine) -> None:
    """V1 beside V2: the same order, not a second one; the other company's is another."""
    told = [{"orderid": "sh-1", "user_ref": "1"} | {"source": name} for name in ("crossing", "later", "other")]
    assert outcomes(register(engine, *told)) == ["accepted", "unchanged", "accepted"]


def test_what_was_credited_elsewhere_is_never_credited_again(engine: Engine) -> None:
    """The one credit is used up without an event; a late callback is kept, and tells nobody."""
    credited = {"orderid": "sh-1", "user_ref": "1", "amount": "3", "state": "credited"}
    assert outcomes(register(engine, credited, credited)) == ["accepted", "unchanged"]
    call_back(engine, "sh-1")
    row = the_order(engine)
    assert (row.state, row.credited_micros, row.amount_micros) == ("succeeded", 3_000_000, 3_000_000)
    with reading(engine) as connection:
        assert connection.execute(select(events.c.type)).all() == []


def test_a_credit_of_ours_is_not_overwritten_by_an_import(engine: Engine) -> None:
    """The same amount is no news, another one is refused."""
    call_back(engine, "sh-1")
    same = {"orderid": "sh-1", "amount": "3", "state": "credited"}
    assert outcomes(register(engine, same)) == ["accepted"]  # it is registered now
    assert outcomes(register(engine, same)) == ["unchanged"]
    (refused,) = register(engine, {"orderid": "sh-1", "amount": "3", "state": "credited"} | {"amount": "4"})
    assert refused.outcome == "refused"


def test_an_address_of_its_own_is_entered_in_the_book(engine: Engine) -> None:
    """As its user's deposit address, and then no other user's."""
    assert outcomes(register(engine, WHOLE)) == ["accepted"]
    with reading(engine) as connection:
        (entry,) = connection.execute(select(addresses)).all()
    assert (entry.chain, entry.address, entry.role, entry.owner) == ("tron", TRON_HEX, "deposit", "1")
    again, other = register(engine, WHOLE | {"orderid": "sh-2"}, WHOLE | {"orderid": "sh-3", "user_ref": "2"})
    assert (again.outcome, other.reason) == ("accepted", "address belongs to another user")
    with reading(engine) as connection:
        assert connection.execute(select(orders.c.orderid).order_by(orders.c.id)).scalars().all() == ["sh-1", "sh-2"]


def test_a_shared_address_belongs_to_nobody(engine: Engine) -> None:
    """Where a provider pays everybody on one address, the book stays empty."""
    shared = {name: replace(source, address_kind="shared") for name, source in the_sources().items()}
    other = WHOLE | {"orderid": "sh-2", "user_ref": "2"}
    assert outcomes(register(engine, WHOLE, other, sources=shared)) == ["accepted", "accepted"]
    with reading(engine) as connection:
        assert connection.execute(select(addresses)).all() == []


def test_a_notify_url_lies_under_a_prefix(engine: Engine) -> None:
    """Of an endpoint that is enabled, of the right kind, and told of this source."""
    an_endpoint(engine, url="https://shop.example/hooks", kind="per_order", sources=",crossing,")
    told = {"orderid": "sh-1", "notify_url": "https://SHOP.example:443/hooks/1?x=2"}
    assert outcomes(register(engine, told)) == ["accepted"]
    assert the_order(engine).notify_url == "https://shop.example/hooks/1?x=2"
    (refused,) = register(engine, told | {"source": "other"})
    assert refused.reason.startswith("notify_url: matches the prefix of no enabled endpoint")


def test_a_key_registers_only_for_its_sources(engine: Engine) -> None:
    """What it may not reach does not exist for it."""
    actor = Actor(id="key_2", name="a shop", roles=frozenset({"service"}), sources=frozenset({"crossing"}))
    (refused,) = register(engine, {"orderid": "sh-1", "source": "other"}, actor=actor)
    assert refused.reason == "source: no such source"
    with pytest.raises(Unprocessable):
        register(engine, {"orderid": "sh-1"}, actor=actor, source="other")


def test_every_batch_that_changed_something_is_audited(engine: Engine) -> None:
    """In the transaction of the change; a repeated import did nothing."""
    told = [{"orderid": f"sh-{n}"} for n in range(BATCH + 1)]
    register(engine, *told)
    register(engine, *told)
    with reading(engine) as connection:
        acts = audit.page(connection, after=None, limit=10).rows
    assert [row["act"] for row in acts] == ["order.import"] * 2


def test_registrations_and_callbacks_race_and_lose_nothing(postgres_url: str) -> None:
    """Two processes meet on the same orders, in opposite directions: each order is credited once and completed once."""
    names = [f"sh-{n}" for n in range(120)]
    told = [{"orderid": name, "user_ref": "1", "amount": "3", "address": TRON} for name in names]
    engine = make_engine(postgres_url)
    actors = [
        threading.Thread(target=call_back, args=(engine, *reversed(names))),
        threading.Thread(target=lambda: [register(engine, one) for one in told]),
        threading.Thread(target=lambda: register(engine, *reversed(told))),
    ]
    for thread in actors:
        thread.start()
    for thread in actors:
        thread.join()
    with reading(engine) as connection:
        rows = connection.execute(select(orders)).all()
        credits_ = Counter(connection.scalars(select(events.c.orderid).where(events.c.type == "recharge.succeeded")))
    engine.dispose()
    assert credits_ == Counter(names)
    assert {(row.state, row.expected_micros, row.credited_micros, row.registered) for row in rows} == {
        ("succeeded", 3_000_000, 3_000_000, True)
    }


ENTRY = {"chain": "tron", "address": TRON, "role": "deposit", "owner": "1"}


def book(engine: Engine, *told: dict[str, str], **changes: Any) -> list[Result]:
    """Import addresses as an admin."""
    return list(import_addresses(a_registry(engine, **changes), lines(*told)))


def test_an_address_is_entered_once(engine: Engine) -> None:
    """Under whichever spelling it comes again."""
    told = [ENTRY, ENTRY | {"address": TRON_HEX}, ENTRY | {"address": f"41{TRON_HEX[2:]}"}]
    assert outcomes(book(engine, *told)) == ["accepted", "unchanged", "unchanged"]
    assert outcomes(book(engine, *told)) == ["unchanged"] * 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"owner": "2"}, "address belongs to another user"),
        ({"role": "collection"}, "address is known as a deposit address"),
        ({"source": "other"}, "address belongs to another namespace"),
        ({"role": "cold"}, "role must be one of deposit, collection, provider, external"),
        ({"address": "T1"}, "address must be T and 33"),
        ({"source": "nobody"}, "source: no such source"),
    ],
)
def test_an_entry_that_contradicts_the_book_is_refused(engine: Engine, changes: dict[str, str], reason: str) -> None:
    """An address of one user's own never becomes another's."""
    book(engine, ENTRY)
    (refused,) = book(engine, ENTRY | changes)
    assert refused.outcome == "refused"
    assert refused.reason.startswith(reason)


def test_an_owner_is_filled_in_and_then_stands(engine: Engine) -> None:
    """Addresses may be known before their users are."""
    unowned = {name: value for name, value in ENTRY.items() if name != "owner"}
    assert outcomes(book(engine, unowned, ENTRY, unowned)) == ["accepted", "accepted", "unchanged"]
    assert outcomes(register(engine, WHOLE | {"user_ref": "2"})) == ["refused"]
    assert outcomes(register(engine, WHOLE)) == ["accepted"]
