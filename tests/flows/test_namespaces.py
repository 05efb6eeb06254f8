"""A source takes its history along when it is renamed or its namespace changes, or nothing moves at all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from relay.core.actors import Actor
from relay.core.orders import Verdict
from relay.core.sources import Source
from relay.errors import Conflict, NotFound
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.flows.namespaces import move_source, namespace_faults, record_namespaces
from relay.flows.reconcile import Bench, reconcile
from relay.store import audit
from relay.store.engine import reading, writing
from relay.store.rows import breaks, events, orders, source_states
from tests.builders import NOON, a_callback, a_source
from tests.fakes import FakeMemory, numbered_ids
from tests.rows import a_heartbeat, a_match, a_provider_fact, a_stored_order, a_stored_transfer

PERSON = Actor(id="cli:ada", name="Ada", roles=frozenset({"admin"}))
FORMER = a_source(appid="VunT0000h1l8")


class House:
    """A relay of one source with an order that was credited and differs, so that a break is open."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.new_id = engine, numbered_ids()
        record_namespaces(engine, {"crossing": FORMER}, now=NOON)
        self.receive(FORMER)
        a_provider_fact(engine, "sh-1", amount_micros=2_000_000)
        a_match(engine, a_stored_transfer(engine, 1, "0x" + "a" * 40, amount_micros=2_000_000), "sh-1")
        self.reconcile({"crossing": FORMER})

    def receive(self, source: Source, **changes: Any) -> Verdict | None:
        """Call back, as the provider does for a source of this name."""
        callback = a_callback(source=source.name, namespace=source.namespace, **changes)
        raw = {"source": source.name, "received_at": NOON}
        committer = Committer(self.engine, FakeMemory(), clock=lambda: NOON, new_id=self.new_id)
        return committer.submit(Arrival(raw=raw, callback=callback, source=source), timeout_s=10)

    def reconcile(self, sources: Mapping[str, Source]) -> None:
        """Run once, when every grace is over."""
        bench = Bench(engine=self.engine, sources=sources, chains={}, new_id=self.new_id, owner="test")
        reconcile(bench, now=NOON + timedelta(days=1))

    def move(self, source: Source, *beside: Source, former: str = "crossing") -> None:
        sources = {one.name: one for one in (source, *beside)}
        move_source(self.engine, sources, former, source.name, actor=PERSON, now=NOON)

    def rows(self, table: Any) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


@pytest.fixture
def house(engine: Engine) -> House:
    return House(engine)


@pytest.mark.parametrize(
    "to",
    [a_source(appid="VunT0000h1l8", namespace="shop"), a_source(appid="VunT0000h1l8", name="tron", namespace="tron")],
    ids=["another namespace", "another name and namespace"],
)
def test_a_history_moves_whole(house: House, to: Source) -> None:
    """The start is free again, the late callback is a repeat, and the open break is the same one."""
    assert namespace_faults(house.engine, {to.name: to})
    (before,) = house.rows(breaks)
    house.move(to)
    assert namespace_faults(house.engine, {to.name: to}) == []
    assert house.receive(to, signature="again") is Verdict.DUPLICATE
    house.reconcile({to.name: to})
    (order,), (after,) = house.rows(orders), house.rows(breaks)
    assert (order.source, order.namespace) == (to.name, to.namespace)
    assert (after.namespace, after.kind, after.state) == (to.namespace, before.kind, "open")
    assert after.first_seen == before.first_seen
    assert [row.type for row in house.rows(events)].count("recharge.succeeded") == 1
    assert [(row.name, row.namespace) for row in house.rows(source_states)] == [(to.name, to.namespace)]
    with reading(house.engine) as connection:
        assert audit.verify(connection) is None
        assert audit.page(connection, after=None, limit=5).rows[0]["act"] == "source.move"


def test_a_renamed_source_that_keeps_its_namespace_keeps_its_orders(house: House) -> None:
    """What asks by the source's name finds them again: recovery, polls, releases."""
    house.move(a_source(name="tron", appid="VunT0000h1l8"))
    (order,) = house.rows(orders)
    assert (order.source, order.namespace) == ("tron", "crossing")


def test_two_orders_of_one_number_are_left_to_a_person(house: House) -> None:
    """Whether they are one payment or two, no program can tell."""
    a_stored_order(house.engine, "sh-1", namespace="shop", source="other")
    _refused(house, a_source(namespace="shop"), match="both have orders sh-1")


def test_a_source_that_shares_the_namespace_is_not_left_behind(house: House) -> None:
    """V1 and V2 move together, or neither does."""
    with writing(house.engine) as connection:
        connection.execute(source_states.insert().values(name="v2", namespace="crossing", created_at=NOON))
    _refused(house, a_source(namespace="shop"), a_source(name="v2", namespace="crossing"), match="v2 would be left")
    house.move(a_source(namespace="shop"), a_source(name="v2", namespace="shop"))
    assert {row.namespace for row in house.rows(source_states)} == {"shop"}


def test_nothing_moves_under_a_running_process(house: House) -> None:
    """It would go on writing where the history was."""
    a_heartbeat(house.engine, "worker", NOON - timedelta(seconds=30))
    _refused(house, a_source(namespace="shop"), match="still running: worker")


def test_a_history_has_one_owner(house: House) -> None:
    """One that is configured still keeps it."""
    _refused(house, a_source(name="tron", namespace="shop"), FORMER, match="configured still")


def test_nobodys_history_is_not_found(house: House) -> None:
    """Neither of a source that never ran, nor for one that is not configured."""
    with pytest.raises(NotFound):
        house.move(FORMER, former="never")
    with pytest.raises(NotFound):
        move_source(house.engine, {}, "crossing", "nowhere", actor=PERSON, now=NOON)


def _refused(house: House, source: Source, *beside: Source, match: str) -> None:
    before = [house.rows(table) for table in (orders, breaks, source_states)]
    with pytest.raises(Conflict, match=match):
        house.move(source, *beside)
    assert [house.rows(table) for table in (orders, breaks, source_states)] == before
