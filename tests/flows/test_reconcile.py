"""Runs on both databases: facts change, breaks open and clear, what is missing is recovered once."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, text, update

from relay.core.actors import Actor
from relay.core.callbacks import Callback
from relay.core.chains import NodeURL
from relay.core.orders import Verdict
from relay.core.sources import Brake, Source
from relay.errors import Unprocessable
from relay.flows.committer import Committer
from relay.flows.intake import Intake
from relay.flows.reconcile import LEASE, Bench, LeaseLost, _page, reconcile, status
from relay.flows.recovery import decide, recover
from relay.flows.tally import Tally
from relay.store import leases, reconciling
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import (
    breaks,
    callbacks,
    chains,
    deliveries,
    dirty,
    dirty_work,
    endpoints,
    events,
    match_states,
    orders,
    polls,
    recoveries,
    runs,
    source_states,
)
from relay.store.rows import (
    leases as lease_rows,
)
from relay.store.sources import note_answer
from tests.builders import NOON, a_callback, a_source
from tests.core.examples import preset
from tests.fakes import FakeMemory, numbered_ids
from tests.nodes.scripted import a_chain
from tests.rows import (
    a_delivery,
    a_match,
    a_provider_fact,
    a_stored_order,
    a_stored_transfer,
    add,
    an_endpoint,
    an_event,
)

PERSON = Actor(id="key_1", name="Ada", roles=frozenset({"approver"}))
LATER = NOON + timedelta(minutes=10)
LIVE = a_source(recover="provider+chain", chains=("ethereum",))

_houses = itertools.count(1)


class House:
    """Runs as the processes do, at a time of its own."""

    def __init__(self, engine: Engine, source: Source = LIVE, *, owner: str = "me") -> None:
        self.engine, self.source, self.at = engine, source, LATER
        self.new_id = numbered_ids(f"{owner}{next(_houses)}_")
        self.bench = Bench(engine=engine, sources={source.name: source}, chains={}, new_id=self.new_id, owner=owner)
        committer = Committer(engine, FakeMemory(), clock=lambda: self.at, new_id=self.new_id)
        self.door = Intake(self.bench.sources, committer, clock=lambda: self.at)

    def run(self) -> str:
        """One round of the job."""
        ended = reconcile(self.bench, now=self.at)
        if recover(self.bench, self.door, now=self.at):
            ended = reconcile(self.bench, now=self.at)
        return ended

    def count(self, table: Any, **columns: Any) -> int:
        with reading(self.engine) as connection:
            query = (
                select(func.count()).select_from(table).where(*(table.c[name] == one for name, one in columns.items()))
            )
            return int(connection.scalar(query) or 0)

    def bodies(self, like: str) -> list[str]:
        """What was announced of a type."""
        with reading(self.engine) as connection:
            query = select(events.c.body).where(events.c.type.like(like)).order_by(events.c.sequence)
            return list(connection.scalars(query))

    def open(self) -> set[str]:
        with reading(self.engine) as connection:
            return set(connection.scalars(select(breaks.c.kind).where(breaks.c.state == "open")))

    def states(self) -> list[Any]:
        """How orders stand."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(match_states)))

    def order(self, orderid: str) -> Any:
        with reading(self.engine) as connection:
            return connection.execute(select(orders).where(orders.c.orderid == orderid)).mappings().one()


def an_unpaid(engine: Engine, number: int) -> str:
    """An order that was registered and not credited."""
    orderid = f"lost-{number}"
    a_stored_order(
        engine, orderid, state="created", credited_micros=0, amount_micros=None, amount_raw=None, registered=True
    )
    return orderid


def a_lost_callback(engine: Engine, number: int = 1) -> str:
    """A paid order whose callback never came: provider and chain agree."""
    orderid = an_unpaid(engine, number)
    a_provider_fact(engine, orderid)
    a_match(engine, a_stored_transfer(engine, number, "0x" + "a" * 40), orderid)
    return orderid


def test_a_missing_callback_is_recovered_once(engine: Engine) -> None:
    """Through the door, with its origin; the real one that comes later changes nothing."""
    house = House(engine)
    orderid = a_lost_callback(engine)
    assert house.run() == "complete"
    assert (house.order(orderid)["state"], house.order(orderid)["credited_micros"]) == ("succeeded", 3_000_000)
    assert "recovered" in house.order(orderid)["flags"]
    assert house.count(events, type="recharge.succeeded") == 1
    assert house.count(callbacks, origin="reconciler") == 1
    assert house.open() == set()
    assert house.count(breaks, kind="missing_callback", state="resolved") == 1
    verdict = house.door.accept(a_callback(orderid=orderid), house.source)
    house.run()
    assert verdict == "duplicate"
    assert house.count(events, type="recharge.succeeded") == 1


def test_a_provider_is_asked_when_money_is_there_and_no_callback(engine: Engine) -> None:
    """`late_after_s` after the transfer was final, also where it came too late; nobody is asked where there is no query."""
    asking = replace(LIVE, adapter=preset("btcpay"), base_url="https://provider.example", late_after_s=30)
    for number in (1, 2):
        a_match(engine, a_stored_transfer(engine, number, "0x" + "a" * 40), an_unpaid(engine, number), final_at=NOON)
    with writing(engine) as connection:
        too_late = {"state": "expired", "expires_at": NOON - timedelta(hours=1)}
        connection.execute(update(orders).where(orders.c.orderid == "lost-2").values(**too_late))
    House(engine).run()
    assert House(engine).count(polls) == 0
    with writing(engine) as connection:
        reconciling.mark_all(connection)
    house = House(engine, asking)
    house.at = NOON + timedelta(seconds=5)
    house.run()
    with reading(engine) as connection:
        asked = connection.execute(
            select(polls.c.orderid, polls.c.reason, polls.c.due_at).order_by(polls.c.orderid)
        ).all()
    assert "late_payment" in house.open()
    assert list(map(tuple, asked)) == [(one, "transfer", NOON + timedelta(seconds=30)) for one in ("lost-1", "lost-2")]


def test_nothing_is_recovered_before_its_time_or_without_evidence(engine: Engine) -> None:
    """Neither at once, nor by one witness of two, nor what is older than `live_from`."""
    house = House(engine)
    a_provider_fact(engine, an_unpaid(engine, 1))
    house.run()
    assert house.open() == {"missing_callback"}
    early = House(engine)
    early.at = NOON + timedelta(seconds=5)
    a_lost_callback(engine, 2)
    early.run()
    assert house.count(match_states, orderid="lost-2", verdict="pending") == 1
    old = House(engine, replace(LIVE, live_from=LATER))
    old.run()
    assert house.count(match_states, orderid="lost-2", verdict="observed") == 1
    assert house.count(events, type="recharge.succeeded") == 0


def test_what_opens_and_what_is_over_is_told(engine: Engine) -> None:
    """Once each; the end by what ended it."""
    house = House(engine, replace(LIVE, recover="off"))
    a_provider_fact(engine, an_unpaid(engine, 1))
    house.run()
    with writing(engine) as connection:
        connection.execute(text("UPDATE provider_facts SET status = 'pending', changed_at = '2026-11-24 00:00:00'"))
    house.run()
    house.run()
    told = [json.loads(row)["data"] for row in house.bodies("reconciliation.break.%")]
    assert [(one["class"], one.get("resolved_by")) for one in told] == [
        ("missing_callback", None),
        ("missing_callback", "reconciler"),
    ]


def test_beyond_the_cap_one_alert_tells_the_number(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst and the largest are told one by one; all of them are breaks."""
    monkeypatch.setattr("relay.flows.reconcile.MOST_TOLD", 2)
    monkeypatch.setattr("relay.flows.reconcile.PAGE", 2)
    house = House(engine, replace(LIVE, recover="off"))
    for number in range(1, 6):
        a_lost_callback(engine, number)
    house.run()
    assert house.count(breaks, state="open") == 5
    assert len(house.bodies("reconciliation.break.opened")) == 2
    (alert,) = house.bodies("relay.alert")
    assert json.loads(alert)["data"]["not_told"] == 3


def test_time_alone_makes_a_break(engine: Engine) -> None:
    """The due index brings an order back of which nothing changed."""
    house = House(engine, replace(LIVE, recover="off"))
    a_lost_callback(engine)
    house.at = NOON + timedelta(seconds=5)
    house.run()
    assert (house.open(), house.count(dirty)) == (set(), 0)
    house.at = NOON + timedelta(seconds=301)
    house.run()
    assert house.open() == {"missing_callback"}


def test_a_service_that_acknowledges_nothing_in_time_is_behind(engine: Engine) -> None:
    """By time alone; what it is told late ends that, what it was told in time is looked at by nobody. A deleted one is owed nothing."""
    house = House(engine, replace(LIVE, recover="off"))
    a_stored_order(engine, "sh-1", credited_micros=3_000_000)
    an_event(engine, 1)
    owed = a_delivery(engine, 1, an_endpoint(engine), created_at=LATER)
    given_up = an_endpoint(engine)
    a_delivery(engine, 1, given_up, state="paused", created_at=LATER)
    house.run()
    assert [row.verdict for row in house.states()] == ["matched"]
    house.at = LATER + timedelta(seconds=house.source.deliver_within_s)
    house.run()
    assert house.open() == {"delivery_gap"}
    for waited_s, is_looked_at in ((40, 0), (1_000, 1)):
        with writing(engine) as connection:
            acknowledged = {"state": "delivered", "finished_at": LATER + timedelta(seconds=waited_s)}
            connection.execute(update(deliveries).where(deliveries.c.id == owed).values(state="sending"))
            connection.execute(dirty.delete())
            connection.execute(update(deliveries).where(deliveries.c.id == owed).values(acknowledged))
        assert house.count(dirty) == is_looked_at
    house.run()
    assert house.open() == {"delivery_gap"}
    with writing(engine) as connection:
        connection.execute(update(endpoints).where(endpoints.c.id == given_up).values(deleted_at=house.at))
    house.run()
    assert house.open() == set()


def test_what_a_run_holds_is_no_service_s_delay(engine: Engine) -> None:
    """It is told of no gap, not for one run long; what had not arrived before is found by the next one."""
    house = House(engine, replace(LIVE, recover="off"))
    for sequence, state in ((1, "pending"), (2, "paused")):
        orderid = f"sh-{sequence}"
        a_stored_order(engine, orderid, credited_micros=3_000_000)
        a_provider_fact(engine, orderid, status="failed")
        an_event(engine, sequence, orderid=orderid)
        a_delivery(engine, sequence, an_endpoint(engine), state=state, created_at=NOON - timedelta(hours=1))
    house.run()
    assert house.open() == {"status_conflict"}
    assert house.count(deliveries, state="held") == 1
    house.run()
    with reading(engine) as connection:
        late = connection.scalars(select(breaks.c.orderid).where(breaks.c.kind == "delivery_gap")).all()
    assert late == ["sh-2"]


def test_a_run_without_change_writes_nothing(engine: Engine) -> None:
    """But its lease and when it looked."""
    house = House(engine, replace(LIVE, recover="off"))
    a_lost_callback(engine)
    house.run()
    before = house_rows(engine)
    house.at = LATER + timedelta(minutes=1)
    assert house.run() == "complete"
    after = house_rows(engine)
    assert after.pop("runs") != before.pop("runs")
    assert after == before
    assert house.count(runs) == 1
    with reading(engine) as connection:
        assert connection.scalar(select(runs.c.last_checked)) == house.at


def test_the_database_itself_counts_no_write_of_a_run_without_change(engine: Engine) -> None:
    """By its own statistics: the lease is taken, held and let go, and the last run is touched."""
    house = House(engine, replace(LIVE, recover="off"))
    a_lost_callback(engine)
    house.run()
    before = written(engine)
    house.at = LATER + timedelta(minutes=1)
    house.run()
    after = written(engine)
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)} in (
        {"leases": 4, "runs": 1},
        {"all tables": 5},
    )


def written(engine: Engine) -> dict[str, int]:
    """How many rows were ever written, by table where the database counts so."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            return {"all tables": driver.total_changes}
    # A connection tells what it wrote when it ends.
    engine.dispose()
    counted = text("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables")
    for _ in range(100):
        with reading(engine) as connection:
            found: dict[str, int] = dict(map(tuple, connection.execute(counted)))
            if connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")) == 1:
                return found
        time.sleep(0.02)
    raise AssertionError("somebody is still connected")


def house_rows(engine: Engine) -> dict[str, Any]:
    """Everything that a run writes."""
    with reading(engine) as connection:
        return {
            table.name: sorted(map(str, connection.execute(select(table)).all()))
            for table in (breaks, match_states, events, recoveries, dirty, dirty_work, runs, callbacks, orders)
        }


def test_facts_that_are_looked_at_again_have_the_same_manifest(engine: Engine) -> None:
    """Same cut, same facts, same bytes, but for what opened."""
    house = House(engine, replace(LIVE, recover="off"))
    a_lost_callback(engine)
    found = []
    for _ in range(3):
        with writing(engine) as connection:
            reconciling.mark_all(connection)
        house.run()
        with reading(engine) as connection:
            found.append(connection.scalars(select(runs.c.manifest_hash).order_by(runs.c.id.desc())).first())
    assert found[1] == found[2]


def test_every_change_of_a_fact_is_logged(engine: Engine) -> None:
    """By whoever writes it; what changes nothing, and what was refused, is not."""
    house = House(engine)
    orderid = a_lost_callback(engine)
    cases: list[tuple[Any, int]] = [
        (update(orders).values(state="created"), 0),
        (update(orders).values(state="pending"), 1),
        (text("UPDATE provider_facts SET checked_at = checked_at"), 0),
        (text("UPDATE provider_facts SET changed_at = '2026-11-24 00:00:00'"), 1),
        (text("UPDATE transfers SET is_final = (1 = 0)"), 1),
        (text("UPDATE matches SET final_at = NULL"), 1),
    ]
    for statement, logged in cases:
        with writing(engine) as connection:
            connection.execute(dirty.delete())
            connection.execute(statement)
        assert house.count(dirty, orderid=orderid) == logged, str(statement)


def test_a_person_s_word_stands_until_the_facts_change(engine: Engine) -> None:
    """A resolved break does not open again by itself; with other facts it does."""
    house = House(engine, replace(LIVE, recover="off"))
    orderid = a_lost_callback(engine)
    house.run()
    with writing(engine) as connection:
        connection.execute(update(breaks).values(state="resolved", resolved_by="key_1"))
        reconciling.mark(connection, [("crossing", orderid)])
    house.run()
    assert house.open() == set()
    with writing(engine) as connection:
        connection.execute(
            text("UPDATE provider_facts SET amount_micros = 9000000, changed_at = '2026-11-24 00:00:00'")
        )
    house.at = LATER + timedelta(days=2)
    house.run()
    assert "missing_callback" in house.open()


def test_the_brake_stops_all_of_it(engine: Engine) -> None:
    """Over the rolling window, not the run; one alert; a person releases or refuses."""
    house = House(engine, replace(LIVE, brake=Brake(count=2, micros=100_000_000, window_s=3600)))
    a_lost_callback(engine, 1)
    house.run()
    house.at += timedelta(minutes=1)
    for number in (2, 3):
        a_lost_callback(engine, number)
    house.run()
    house.run()
    assert house.count(events, type="recharge.succeeded") == 1
    assert house.count(events, type="relay.alert") == 1
    assert status(engine)["stopped"] == {"count": 2, "micros": 6_000_000}
    asked: dict[str, Any] = {"source": "crossing", "actor": PERSON, "now": house.at}
    with pytest.raises(Unprocessable):
        decide(house.bench, house.door, ["lost-9"], release=True, **asked)
    assert decide(house.bench, house.door, ["lost-2"], release=True, **asked) == 1
    assert decide(house.bench, house.door, [], release=False, **asked) == 1
    assert house.count(events, type="recharge.succeeded") == 2
    house.run()
    assert house.open() == {"missing_callback"}


def test_a_chain_that_is_not_read_makes_a_run_incomplete(engine: Engine) -> None:
    """It says why, once, and recovers nothing of the sources that need the chain until it is read again."""
    house = House(engine)
    chain = a_chain(name="ethereum", nodes=(NodeURL(name="one", url="https://node.example"),))
    house.bench = replace(house.bench, chains={"ethereum": chain})
    orderid = a_lost_callback(engine)
    assert [house.run(), house.run()] == ["incomplete", "incomplete"]
    assert house.count(events, type="reconciliation.run.incomplete") == 1
    assert (house.order(orderid)["credited_micros"], house.count(recoveries, state="due")) == (0, 1)
    add(engine, chains, name="ethereum", chain_id=1, scanned_at=house.at)
    assert house.run() == "complete"
    assert house.order(orderid)["credited_micros"] == 3_000_000


def test_a_provider_that_says_nothing_usable_makes_a_run_incomplete(engine: Engine) -> None:
    """After a quarter of an hour, and until it answers; one that is not asked any more is no reason."""
    add(engine, source_states, name="crossing", namespace="crossing", created_at=NOON)
    asking = replace(LIVE, adapter=preset("btcpay"), base_url="https://provider.example")
    house = House(engine, asking)
    with writing(engine) as connection:
        note_answer(connection, "crossing", is_clear=False, now=house.at)
    assert house.run() == "complete"
    house.at += timedelta(minutes=16)
    assert house.run() == "incomplete"
    with reading(engine) as connection:
        reasons = connection.scalars(select(runs.c.reason).order_by(runs.c.id)).all()
    assert reasons == ["", "provider of crossing gives no usable answer"]
    silenced = House(engine)
    silenced.at = house.at
    assert silenced.run() == "complete"
    with writing(engine) as connection:
        note_answer(connection, "crossing", is_clear=True, now=house.at)
    assert house.run() == "complete"


def test_a_witness_that_changes_its_mind_takes_the_recovery_back(engine: Engine) -> None:
    """What a brake has stopped is released by what holds now, not by what was believed then."""
    house = House(engine, replace(LIVE, brake=Brake(count=0, micros=0, window_s=3600)))
    a_lost_callback(engine)
    house.run()
    assert status(engine)["stopped"]["count"] == 1
    with writing(engine) as connection:
        connection.execute(text("UPDATE provider_facts SET status = 'failed', changed_at = '2026-11-24 00:00:00'"))
    house.run()
    assert status(engine)["stopped"]["count"] == 0
    assert decide(house.bench, house.door, [], release=True, source="crossing", actor=PERSON, now=house.at) == 0
    assert house.count(events, type="recharge.succeeded") == 0


def test_what_is_refused_while_others_are_released_is_not_credited(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list takes its time: each payment is looked at again when its turn comes."""
    house = House(engine, replace(LIVE, brake=Brake(count=0, micros=0, window_s=3600)))
    for number in (1, 2, 3):
        a_lost_callback(engine, number)
    house.run()
    told: dict[str, Any] = {"source": "crossing", "actor": PERSON, "now": house.at}
    accept = house.door.accept

    def accept_while_another_refuses(callback: Callback, source: Source) -> Verdict:
        if callback.orderid == "lost-1":
            assert decide(house.bench, house.door, ["lost-2"], release=False, **told) == 1
        return accept(callback, source)

    monkeypatch.setattr(house.door, "accept", accept_while_another_refuses)
    assert decide(house.bench, house.door, [], release=True, **told) == 2
    assert [house.order(f"lost-{number}")["credited_micros"] for number in (1, 2, 3)] == [3_000_000, 0, 3_000_000]
    assert house.count(recoveries, state="refused") == 1


def test_a_run_that_died_is_gone_on_with(engine: Engine) -> None:
    """What it took and did not judge is in the work; it left no run that counts."""
    house = House(engine)
    orderid = a_lost_callback(engine)
    with writing(engine) as connection:
        leases.take(connection, LEASE, owner="dead", now=LATER, ttl_s=10)
        reconciling.take(connection, now=LATER, most=10)
    assert (house.count(dirty), house.count(dirty_work), house.count(runs)) == (0, 1, 0)
    assert reconcile(house.bench, now=LATER) == "busy"
    house.at = LATER + timedelta(seconds=11)
    house.run()
    assert house.order(orderid)["state"] == "succeeded"
    assert house.count(dirty_work) == 0


def test_whoever_lost_the_lease_writes_nothing(engine: Engine) -> None:
    """The fence is looked at in the transaction that writes."""
    house = House(engine)
    a_lost_callback(engine)
    with writing(engine) as connection:
        fence = leases.take(connection, LEASE, owner="me", now=LATER, ttl_s=10)
        reconciling.take(connection, now=LATER, most=10)
        connection.execute(update(lease_rows).values(owner="other", fence=9, expires_at=LATER + timedelta(hours=1)))
    with pytest.raises(LeaseLost):
        _page(house.bench, fence or 0, Tally(), LATER)
    assert (house.count(match_states), house.count(dirty_work)) == (0, 1)


def test_recovery_that_died_before_its_note_credits_once(engine: Engine) -> None:
    """The door says duplicate, and the note is written then."""
    house = House(engine)
    a_lost_callback(engine)
    reconcile(house.bench, now=house.at)
    recover(house.bench, house.door, now=house.at)
    with writing(engine) as connection:
        connection.execute(update(recoveries).values(state="due", applied_at=None))
    house.run()
    assert house.count(events, type="recharge.succeeded") == 1
    assert house.count(recoveries, state="applied") == 1


def test_nothing_is_lost_and_nobody_waits(postgres_url: str) -> None:
    """A change that commits after a run took the log is the next run's, and its writer does not wait for the run."""
    engine = make_engine(postgres_url, pool_size=6)
    house = House(engine, replace(LIVE, recover="off"))
    with engine.connect() as slow:
        begun = slow.begin()
        slow.execute(insert(orders), an_order_row("slow"))
        with writing(engine) as run:
            reconciling.take(run, now=LATER, most=100)
            # The run has its transaction open; a writer comes and goes.
            with writing(engine) as quick:
                quick.execute(text("SET LOCAL lock_timeout = '2s'"))
                quick.execute(insert(orders), an_order_row("quick"))
        begun.commit()
    house.run()
    assert {house.count(match_states, orderid=one) for one in ("slow", "quick")} == {1}
    engine.dispose()


def an_order_row(orderid: str) -> dict[str, Any]:
    """The columns of an order."""
    moment: datetime = NOON
    return {
        "namespace": "crossing",
        "orderid": orderid,
        "source": "crossing",
        "state": "created",
        "version": 1,
        "credited_micros": 0,
        "registered": True,
        "flags": "",
        "created_at": moment,
        "updated_at": moment,
    }


def test_two_clocks_at_once_end_as_one(engine: Engine) -> None:
    """Whoever comes second is busy or finds nothing; each payment is credited once."""
    for number in range(1, 6):
        a_lost_callback(engine, number)
    houses = [House(engine, owner="a"), House(engine, owner="b")]
    failed: list[BaseException] = []

    def work(house: House) -> None:
        try:
            for _ in range(3):
                house.run()
        except BaseException as error:  # noqa: BLE001  # the test tells what any thread died of
            failed.append(error)

    threads = [threading.Thread(target=work, args=(house,)) for house in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    houses[0].run()
    assert failed == []
    assert houses[0].count(events, type="recharge.succeeded") == 5
    assert houses[0].open() == set()
