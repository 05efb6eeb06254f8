"""Orders that wait, on both databases: for evidence, for the rest of the money, for a person."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from relay.core.actors import Actor
from relay.core.callbacks import Callback, Status
from relay.core.releases import Act, Release
from relay.core.sources import Source
from relay.errors import Conflict, NotFound, RelayError
from relay.flows.committer import Committer
from relay.flows.confirmation import end_grace, reconsider
from relay.flows.expiry import expire
from relay.flows.judgement import Arrival
from relay.flows.releases import release
from relay.store import audit
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import breaks, deliveries, events, matches, orders, provider_facts, transfers
from tests.builders import NOON, a_callback, a_source, paying
from tests.fakes import FakeMemory, numbered_ids
from tests.rows import a_stored_order, add, an_endpoint

CAREFUL = a_source(evidence=frozenset({"signature", "provider"}), grace_s=300)
PERSON = Actor(id="key_1", name="Ada", roles=frozenset({"approver"}))
KEY = ("crossing", "sh-1")


class Relay:
    """Calls the flows as the processes do, at moments of the test's choice."""

    def __init__(self, engine: Engine, prefix: str = "") -> None:
        self.engine = engine
        self.at = NOON
        self.new_id = numbered_ids(prefix)
        self._committer = Committer(engine, FakeMemory(), clock=lambda: self.at, new_id=self.new_id)

    def receive(self, callback: Callback, source: Source = CAREFUL) -> str:
        """Send one callback through; return its verdict."""
        raw = {"source": callback.source, "received_at": self.at}
        return str(self._committer.submit(Arrival(raw=raw, callback=callback, source=source), timeout_s=10))

    def learn(self, source: Source = CAREFUL, **changes: Any) -> int:
        """Store what the provider answers, as the poller does; return how many orders changed."""
        usual = {"source": "crossing", "orderid": "sh-1", "namespace": "crossing", "via": "query"}
        told = {"status": "succeeded", "raw_status": "paid", "amount_micros": 3_000_000, "unit_micros": 1}
        add(self.engine, provider_facts, **usual | told | changes, changed_at=self.at, checked_at=self.at)
        return reconsider(self.engine, {"crossing": source}, [KEY], now=self.at, new_id=self.new_id)

    def end_grace(self, sources: dict[str, Source], *, after_s: int) -> int:
        """Let time pass, and the job come by."""
        self.at = NOON + timedelta(seconds=after_s)
        return end_grace(self.engine, sources, now=self.at, new_id=self.new_id)

    def expire(self, *, at: datetime) -> int:
        """Let the job come by."""
        return expire(self.engine, {}, now=at, new_id=self.new_id)

    def release(self, act: str, micros: int | None = None, *, by: Actor = PERSON) -> Any:
        """Release the order."""
        wish = Release(act=Act(act), reason="asked the provider", micros=micros)
        sources = {"crossing": CAREFUL}
        return release(self.engine, sources, "crossing", "sh-1", wish, actor=by, now=self.at, new_id=self.new_id)

    def rows(self, table: Any) -> Sequence[Any]:
        """Everything a table holds."""
        with reading(self.engine) as connection:
            return connection.execute(select(table).order_by(table.primary_key.columns[0])).all()

    @property
    def announced(self) -> list[str]:
        """The types of all events, in order."""
        return [one.type for one in self.rows(events)]

    @property
    def order(self) -> Any:
        """The one order there is."""
        (one,) = self.rows(orders)
        return one


@pytest.fixture
def relay(engine: Engine) -> Relay:
    """The flows on one database."""
    return Relay(engine)


def test_an_order_awaits_its_evidence_without_an_event_and_is_credited_by_it(relay: Relay) -> None:
    """Subscribers hear nothing until both witnesses agree; then once."""
    assert relay.receive(a_callback()) == "accepted"
    assert (relay.order.state, relay.order.version, relay.announced) == ("confirming", 1, [])
    assert relay.learn() == 1
    assert (relay.order.state, relay.order.version, relay.order.credited_micros) == ("succeeded", 2, 3_000_000)
    assert relay.announced == ["recharge.succeeded"]
    assert json.loads(relay.rows(events)[0].body)["data"]["origin"] == "callback"


def test_what_the_provider_said_before_counts_at_once(relay: Relay) -> None:
    """A poll may be earlier than the callback."""
    assert relay.learn() == 0
    relay.receive(a_callback())
    assert relay.announced == ["recharge.succeeded"]


def test_a_witness_that_contradicts_holds_the_order_and_opens_a_break(relay: Relay) -> None:
    """The difference is in the evidence, named as one of scale when it is."""
    relay.receive(a_callback())
    relay.learn(amount_micros=300)
    assert (relay.order.state, relay.order.held_reason) == ("held", "evidence_disagrees")
    (found,) = relay.rows(breaks)
    assert found.kind == "evidence_conflict"
    assert json.loads(found.evidence) == {"provider": "3.000000 / 0.000300 (scale_error_x10000)"}


def test_transfers_that_were_matched_are_evidence(relay: Relay) -> None:
    """Only final ones to the order's address; what a reorganisation took away counts for nothing."""
    address = "0x" + "a" * 40
    source = a_source(evidence=frozenset({"signature", "chain"}), chains=("bsc",))
    row = {"state": "created", "credited_micros": 0, "chain": "bsc", "address": address, "amount_micros": None}
    a_stored_order(relay.engine, "sh-1", **row)
    relay.receive(a_callback(), source)
    assert relay.order.state == "confirming"

    def move(number: int, micros: int, **changes: Any) -> int:
        """Store a matched transfer, and have the order judged again."""
        named = {"chain": "bsc", "tx_hash": f"0x{number}", "log_index": 0}
        block = {"block_number": number, "block_hash": "0xb", "block_time": NOON, "seen_at": NOON}
        moved = {"contract": "0xc", "sender": "0xd", "recipient": address, "amount_micros": micros, "is_final": True}
        add(relay.engine, transfers, **named | block | moved | changes)
        add(relay.engine, matches, **named, namespace="crossing", orderid="sh-1", rule="address", matched_at=NOON)
        return reconsider(relay.engine, {"crossing": source}, [KEY], now=relay.at, new_id=relay.new_id)

    assert move(1, 1_000_000) == 0
    assert move(2, 2_000_000, is_final=False, orphaned_at=NOON) == 0
    assert move(3, 2_000_050) == 1
    assert (relay.order.state, relay.order.credited_micros) == ("succeeded", 3_000_000)


def test_grace_ends_in_a_hold_and_not_before(relay: Relay) -> None:
    """What is still missing then is named in a break."""
    relay.receive(a_callback())
    assert relay.end_grace({"crossing": CAREFUL}, after_s=299) == 0
    assert relay.end_grace({"crossing": CAREFUL}, after_s=300) == 1
    assert (relay.order.state, relay.order.held_reason) == ("held", "evidence_missing")
    assert relay.announced == ["recharge.held", "reconciliation.break.opened"]
    assert json.loads(relay.rows(breaks)[0].evidence) == {"provider": "not asked yet"}
    assert relay.end_grace({"crossing": CAREFUL}, after_s=900) == 0


def test_a_source_that_is_gone_leaves_no_order_behind(relay: Relay) -> None:
    """Nobody can be asked any more, so a person is."""
    relay.receive(a_callback())
    assert relay.end_grace({}, after_s=300) == 1
    assert relay.order.state == "held"


def test_an_order_expires_once_and_one_paid_in_part_is_held(relay: Relay) -> None:
    """Expired is announced; partial money is never dropped."""
    differences: list[dict[str, Any]] = [{}, {"flags": "partial", "state": "pending"}, {"expires_at": None}]
    for number, columns in enumerate(differences):
        usual = {"state": "created", "credited_micros": 0, "expected_micros": 30_000_000, "expires_at": NOON}
        a_stored_order(relay.engine, f"sh-{number}", **usual | columns)
    assert relay.expire(at=NOON - timedelta(seconds=1)) == 0
    assert relay.expire(at=NOON) == 2
    assert relay.expire(at=NOON) == 0
    assert [(one.state, one.held_reason) for one in relay.rows(orders)] == [
        ("expired", None),
        ("held", "scale_error_x1/10"),
        ("created", None),
    ]
    assert sorted(relay.announced) == ["recharge.expired", "recharge.held"]


def test_a_source_credits_no_more_in_an_hour_than_it_may(relay: Relay) -> None:
    """The sum rolls, and counts what the same batch credited."""
    limited = a_source(hold_above_hourly_micros=7_000_000)
    for number in range(3):
        relay.receive(a_callback(orderid=f"sh-{number}", signature=f"s{number}"), limited)
    assert [one.state for one in relay.rows(orders)] == ["succeeded", "succeeded", "held"]
    assert relay.rows(orders)[2].held_reason == "above_hourly_limit"
    relay.at = NOON + timedelta(hours=1)
    relay.receive(a_callback(orderid="sh-9", signature="s9"), limited)
    assert relay.rows(orders)[3].state == "succeeded"


def test_a_held_order_is_credited_by_a_person_once(relay: Relay) -> None:
    """The event names the operator, the audit the person, and the break is closed."""
    relay.receive(a_callback())
    relay.end_grace({"crossing": CAREFUL}, after_s=300)
    row = relay.release("credit")
    assert (row["state"], row["credited_micros"]) == ("succeeded", 3_000_000)
    (credit,) = [json.loads(row.body) for row in relay.rows(events) if row.type == "recharge.succeeded"]
    assert (credit["type"], credit["data"]["origin"]) == ("recharge.succeeded", "operator")
    assert [(one.state, one.resolved_by) for one in relay.rows(breaks)] == [("resolved", "key_1")]
    with reading(relay.engine) as connection:
        (act,) = audit.page(connection, after=None, limit=10).rows
        assert (act["act"], act["actor"], act["subject"]) == ("order.release", "key_1", "crossing/sh-1")
    with pytest.raises(Conflict):
        relay.release("credit")
    assert relay.announced.count("recharge.succeeded") == 1


def test_a_refused_release_changes_nothing(relay: Relay) -> None:
    """No event, no audit, no version."""
    relay.receive(a_callback())
    relay.end_grace({"crossing": CAREFUL}, after_s=300)
    before = (relay.order, relay.announced)
    stranger = Actor(id="key_2", name="Eve", roles=frozenset({"approver"}), sources=frozenset({"other"}))
    for act, by, error in (("adjust", PERSON, Conflict), ("credit", stranger, NotFound)):
        with pytest.raises(error):
            relay.release(act, by=by)
    assert (relay.order, relay.announced) == before


def test_a_release_lets_stopped_deliveries_go(relay: Relay) -> None:
    """To whom it was stopped for, as each stands today; the reversal follows with its generation."""
    for number in range(3):
        an_endpoint(relay.engine, id=f"ep_{number}")
    relay.receive(a_callback(), a_source())
    relay.receive(paying(4_000_000), a_source())
    with writing(relay.engine) as connection:
        connection.execute(text("UPDATE endpoints SET state = 'paused' WHERE id = 'ep_1'"))
        connection.execute(text("UPDATE endpoints SET deleted_at = created_at WHERE id = 'ep_2'"))
    stopped = [one.state for one in relay.rows(deliveries) if one.event_sequence == 1]
    assert stopped == ["held", "held", "held"]
    relay.release("reverse")
    let_go = {one.endpoint_id: one.state for one in relay.rows(deliveries) if one.event_sequence == 1}
    assert let_go == {"ep_0": "pending", "ep_1": "paused", "ep_2": "dead"}
    last = [row for row in relay.rows(events) if row.type.startswith("recharge.")][-1]
    data = json.loads(last.body)["data"]
    assert (last.type, last.generation) == ("recharge.reversed", 1)
    assert (data["delta_micros"], data["delta"], data["reason"], data["generation"], data["credited_micros"]) == (
        -3_000_000,
        "-3.000000",
        "asked the provider",
        1,
        0,
    )


def test_a_refund_takes_back_what_was_credited(relay: Relay) -> None:
    """The provider's word is enough for the whole sum; for another a person is asked."""
    relay.receive(a_callback(), a_source())
    relay.receive(a_callback(status=Status.REFUNDED, signature="r"), a_source())
    assert (relay.order.state, relay.order.credited_micros) == ("refunded", 0)
    data = json.loads(relay.rows(events)[-1].body)["data"]
    assert (relay.announced[-1], data["delta_micros"], data["reason"]) == ("recharge.adjusted", -3_000_000, "refunded")


def test_a_credit_races_with_a_release(database_url: str, relay: Relay) -> None:
    """Two people and a fact at once: one of them credits, the others are refused or find nothing to do."""
    relay.receive(a_callback())
    relay.end_grace({"crossing": CAREFUL}, after_s=300)
    others = [Relay(make_engine(database_url), f"{number}-") for number in range(4)]
    ends: list[str] = []

    def try_it(one: Relay) -> None:
        try:
            one.release("credit")
            ends.append("credited")
        except RelayError as error:
            ends.append(error.code)

    threads = [threading.Thread(target=try_it, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.engine.dispose()
    assert sorted(ends) == ["conflict"] * 3 + ["credited"]
    assert relay.announced.count("recharge.succeeded") == 1
