"""The one door under races, repeats and failures, on both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text

from relay.core.callbacks import Callback, Status
from relay.core.orders import Verdict
from relay.errors import InvariantBroken, Unavailable
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.ports import Notes
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import breaks, callbacks, deliveries, endpoints, events, orders, source_states
from tests.builders import NOON, a_callback, a_source, paying
from tests.fakes import FakeMemory, numbered_ids, round_trips_of
from tests.system import eventually


@pytest.fixture
def memory() -> FakeMemory:
    """A memory that works."""
    return FakeMemory()


@pytest.fixture
def doors(database_url: str) -> Iterator[list[Committer]]:
    """Two committers with connections of their own, as in two processes."""
    engines = [make_engine(database_url) for _ in range(2)]
    yield [
        Committer(one, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids(f"{place}-"))
        for place, one in enumerate(engines)
    ]
    for one in engines:
        one.dispose()


@pytest.fixture
def committer(engine: Engine, memory: FakeMemory) -> Committer:
    """A committer at noon."""
    return Committer(engine, memory, clock=lambda: NOON, new_id=numbered_ids())


def arrival(callback: Callback, **source: Any) -> Arrival:
    """A verified callback at the door."""
    raw = {"source": callback.source, "received_at": NOON, "body": b"orderid=sh-1", "request_id": "req-1"}
    return Arrival(
        raw=raw, callback=callback, source=a_source(name=callback.source, namespace=callback.namespace, **source)
    )


def submit(committer: Committer, callback: Callback, **source: Any) -> Verdict | None:
    """Send one callback through."""
    return committer.submit(arrival(callback, **source), timeout_s=10)


def rows(engine: Engine, table: Any) -> Sequence[Any]:
    """Everything a table holds, in order."""
    with reading(engine) as connection:
        return connection.execute(select(table).order_by(table.primary_key.columns[0])).all()


def subscribe(engine: Engine, count: int = 3, **changes: Any) -> None:
    """Register endpoints."""
    usual = {
        "url": "https://a.example/",
        "description": "",
        "format": "standard",
        "state": "enabled",
        "concurrency": 32,
    }
    with writing(engine) as connection:
        for number in range(count):
            row = usual | {"id": f"ep_{number}", "secrets": "[]", "created_at": NOON} | changes
            connection.execute(insert(endpoints), row)


def test_a_first_callback_is_kept_credited_announced_and_fanned_out(engine: Engine, committer: Committer) -> None:
    """One commit writes the callback, its order, the event and a delivery for each endpoint."""
    subscribe(engine)
    assert submit(committer, a_callback()) is Verdict.ACCEPTED
    (kept,), (order,), (announced,) = rows(engine, callbacks), rows(engine, orders), rows(engine, events)
    assert (kept.verdict, bytes(kept.body), kept.secret_id) == ("accepted", b"orderid=sh-1", "s1")
    assert (order.state, order.credited_micros, order.version) == ("succeeded", 3_000_000, 1)
    assert (announced.sequence, announced.type) == (1, "recharge.succeeded")
    assert [(one.event_sequence, one.endpoint_id, one.state) for one in rows(engine, deliveries)] == [
        (1, "ep_0", "pending"),
        (1, "ep_1", "pending"),
        (1, "ep_2", "pending"),
    ]


def test_the_body_of_an_event_carries_what_the_contract_names(engine: Engine, committer: Committer) -> None:
    """Fields are only ever added; amounts are strings of six places beside exact micros."""
    submit(committer, a_callback())
    body = json.loads(rows(engine, events)[0].body)
    assert body["type"] == "recharge.succeeded"
    assert body["timestamp"] == "2026-11-23T12:00:00.000Z"
    assert body["data"] == {
        "event_id": "evt_1",
        "sequence": 1,
        "source": "crossing",
        "namespace": "crossing",
        "appid": "VunT0000h1l8",
        "orderid": "sh-1",
        "order_version": 1,
        "provider_order_id": None,
        "user_ref": "1",
        "amount": "3.000000",
        "amount_micros": 3_000_000,
        "amount_raw": "30000",
        "currency": "USDT",
        "credited_micros": 3_000_000,
        "expected_amount": None,
        "flags": [],
        "origin": "callback",
        "occurred_at": "2026-11-23T12:00:00Z",
        "transfer": None,
    }


def test_an_endpoint_gets_what_it_asked_for(engine: Engine, committer: Committer) -> None:
    """Types and sources are columns of the join; a deleted endpoint gets nothing, a paused one misses nothing."""
    subscribe(engine, 1)
    with writing(engine) as connection:
        usual = {
            "url": "https://a.example/",
            "description": "",
            "format": "standard",
            "concurrency": 1,
            "secrets": "[]",
            "created_at": NOON,
        }
        empty: dict[str, Any] = {"state": "enabled", "event_types": None, "sources": None, "deleted_at": None}
        asked: list[dict[str, Any]] = [
            {"id": "ep_held_only", "event_types": ",recharge.held,"},
            {"id": "ep_both", "event_types": ",recharge.held,recharge.succeeded,"},
            {"id": "ep_other_source", "sources": ",cros_ing,other,"},
            {"id": "ep_this_source", "sources": ",other,crossing,"},
            {"id": "ep_paused", "state": "paused"},
            {"id": "ep_disabled", "state": "disabled"},
            {"id": "ep_deleted", "deleted_at": NOON},
        ]
        connection.execute(insert(endpoints), [usual | empty | one for one in asked])
    submit(committer, a_callback())
    assert {one.endpoint_id: one.state for one in rows(engine, deliveries)} == {
        "ep_0": "pending",
        "ep_both": "pending",
        "ep_this_source": "pending",
        "ep_paused": "paused",
        "ep_disabled": "paused",
    }


def test_fifty_equal_callbacks_in_one_batch_credit_once(engine: Engine, committer: Committer) -> None:
    """A batch meets its own rows: one is accepted, the rest agree with it."""
    batch = [arrival(a_callback(signature=f"s{number}")) for number in range(50)]
    committer.commit(batch)
    assert sorted(one.verdict for one in batch if one.verdict) == ["accepted"] + ["duplicate"] * 49
    assert (len(rows(engine, events)), len(rows(engine, callbacks))) == (1, 1)


def test_two_processes_race_to_one_credit(engine: Engine, doors: list[Committer]) -> None:
    """Two committers with engines of their own, fifty threads, one order: fifty acks, one event."""
    subscribe(engine)
    verdicts: list[Verdict | None] = []
    threads = [
        threading.Thread(
            target=lambda number=number: verdicts.append(submit(doors[number % 2], a_callback(signature=f"s{number}")))
        )
        for number in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(one) for one in verdicts) == ["accepted"] + ["duplicate"] * 49
    assert (len(rows(engine, events)), len(rows(engine, deliveries))) == (1, 3)


def test_the_constraint_decides_when_the_rules_are_wrong(engine: Engine, committer: Committer) -> None:
    """A second credit written past the rules is refused by the database, and takes its callback with it."""
    submit(committer, a_callback())
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM callbacks"))
        connection.execute(text("UPDATE orders SET state = 'created', credited_micros = 0"))
    with pytest.raises(InvariantBroken):
        submit(committer, paying(9_000_000))
    assert (len(rows(engine, events)), len(rows(engine, callbacks))) == (1, 0)


def test_one_bad_row_fails_alone(engine: Engine, committer: Committer) -> None:
    """A value that the database refuses costs its own caller a 503, not its neighbours."""
    bad = arrival(a_callback(orderid=None, signature="bad"))
    batch = [arrival(a_callback(orderid=f"sh-{number}", signature=f"s{number}")) for number in range(3)]
    batch.insert(1, bad)
    committer.commit(batch)
    assert [str(one.verdict) for one in batch] == ["accepted", "None", "accepted", "accepted"]
    assert isinstance(bad.error, InvariantBroken)
    assert [one.orderid for one in rows(engine, orders)] == ["sh-0", "sh-1", "sh-2"]


def test_a_conflict_is_kept_held_broken_open_and_stops_unsent_credits(engine: Engine, committer: Committer) -> None:
    """What one subscriber already has stays; what nobody was sent yet stops."""
    subscribe(engine)
    submit(committer, a_callback())
    with writing(engine) as connection:
        connection.execute(text("UPDATE deliveries SET state = 'delivered', attempts = 1 WHERE endpoint_id = 'ep_0'"))
    assert submit(committer, paying(4_000_000)) is Verdict.CONFLICT
    assert [one.verdict for one in rows(engine, callbacks)] == ["accepted", "conflict"]
    assert [one.type for one in rows(engine, events)] == [
        "recharge.succeeded",
        "recharge.held",
        "reconciliation.break.opened",
    ]
    assert [one.state for one in rows(engine, deliveries) if one.event_sequence == 1] == ["delivered", "held", "held"]
    (found,) = rows(engine, breaks)
    assert (found.kind, found.severity, json.loads(found.evidence)) == (
        "duplicate_conflict",
        1,
        {"amount_raw": "30000 / 40000"},
    )
    assert submit(committer, paying(4_000_000)) is Verdict.DUPLICATE
    assert submit(committer, paying(5_000_000)) is Verdict.CONFLICT
    assert len(rows(engine, breaks)) == 1


def test_a_conflict_that_comes_with_the_credit_stops_it_too(engine: Engine, committer: Committer) -> None:
    """In one batch nobody has been sent anything yet."""
    subscribe(engine)
    committer.commit([arrival(a_callback()), arrival(paying(4_000_000))])
    assert [one.state for one in rows(engine, deliveries) if one.event_sequence == 1] == ["held"] * 3
    assert [one.state for one in rows(engine, deliveries) if one.event_sequence == 2] == ["pending"] * 3


def test_a_forgery_is_kept_as_rejected_and_changes_nothing(engine: Engine, committer: Committer) -> None:
    """The signature of one order over the fields of another."""
    submit(committer, a_callback())
    assert submit(committer, a_callback(orderid="h-1", user_ref="1s")) is Verdict.FORGERY
    assert [(one.verdict, one.reason) for one in rows(engine, callbacks)] == [
        ("accepted", None),
        ("rejected", "forgery"),
    ]
    assert (len(rows(engine, orders)), len(rows(engine, events))) == (1, 1)


def test_a_paused_source_is_acked_and_held(engine: Engine, committer: Committer) -> None:
    """A person's pause takes effect with the next transaction."""
    with writing(engine) as connection:
        connection.execute(
            insert(source_states), {"name": "crossing", "namespace": "crossing", "paused_at": NOON, "created_at": NOON}
        )
    assert submit(committer, a_callback()) is Verdict.ACCEPTED
    assert rows(engine, orders)[0].held_reason == "source_paused"


def test_pending_then_paid_are_two_events_and_one_credit(engine: Engine, committer: Committer) -> None:
    """A non-final word never uses up the credit, and versions count the changes."""
    submit(committer, a_callback(status=Status.PENDING, signature="p"))
    submit(committer, a_callback())
    assert [(one.type, one.order_version) for one in rows(engine, events)] == [
        ("recharge.pending", 1),
        ("recharge.succeeded", 2),
    ]


def test_v1_beside_v2_is_one_credit(engine: Engine, committer: Committer) -> None:
    """Sources that share a namespace share the identity of orders."""
    submit(committer, a_callback(source="crossing-v1", namespace="crossing"))
    second = a_callback(
        source="crossing-v2", namespace="crossing", signature="v2", user_ref=None, unit_micros=1, tx_hash="ab"
    )
    assert submit(committer, second) is Verdict.DUPLICATE
    assert len(rows(engine, events)) == 1


@pytest.mark.parametrize("lie", ["forgets everything", "has seen everything"])
def test_a_memory_that_lies_changes_no_outcome(engine: Engine, lie: str) -> None:
    """Redis saves a write, never the look."""
    memory = FakeMemory(lie=lie)
    committer = Committer(engine, memory, clock=lambda: NOON, new_id=numbered_ids())
    assert submit(committer, a_callback()) is Verdict.ACCEPTED
    assert submit(committer, a_callback()) is Verdict.DUPLICATE
    assert submit(committer, paying(4_000_000)) is Verdict.CONFLICT
    assert submit(committer, a_callback(orderid="sh-2")) is Verdict.FORGERY
    assert submit(committer, a_callback(occurred_at=NOON + timedelta(seconds=1))) is Verdict.FORGERY
    assert [one.type for one in rows(engine, events)] == [
        "recharge.succeeded",
        "recharge.held",
        "reconciliation.break.opened",
    ]


def test_memory_learns_only_what_is_committed(engine: Engine, committer: Committer, memory: FakeMemory) -> None:
    """A crash between remembering and committing would turn the provider's retry into a duplicate."""
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE callbacks RENAME TO callbacks_gone"))
    with pytest.raises((InvariantBroken, Unavailable)):
        submit(committer, a_callback())
    assert memory.keys == set()


def test_memory_learns_of_a_crowd_though_nobody_comes_behind_it(committer: Committer, memory: FakeMemory) -> None:
    """Notes go with the question about the next batch; when none comes, they go alone."""
    crowd = [arrival(a_callback(orderid=f"sh-{number}", signature=f"s{number}")) for number in range(3)]
    threads = [threading.Thread(target=committer.submit, args=(one,), kwargs={"timeout_s": 10}) for one in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(memory.keys) == 3 and memory.rings > 0, within_s=30, what="memory knows the crowd")


def test_a_failure_after_the_acks_harms_neither_them_nor_the_committer(engine: Engine) -> None:
    """Whoever was let go stays so, and the next one is served."""

    class Broken(FakeMemory):
        def remember(self, notes: Notes) -> None:
            raise Unavailable("a port that breaks its promise")

    committer = Committer(engine, Broken(), clock=lambda: NOON, new_id=numbered_ids())
    batch = [arrival(a_callback(orderid=f"sh-{number}", signature=f"s{number}")) for number in range(3)]
    committer.commit(batch)
    assert [one.wait(0) for one in batch] == [Verdict.ACCEPTED] * 3
    assert submit(committer, a_callback(orderid="sh-4", signature="s4")) is Verdict.ACCEPTED
    assert committer.alive


def test_a_committer_that_is_being_started_is_not_taken_for_dead(
    committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that comes with the first callback must not have the process replaced."""
    start, seen = threading.Thread.start, list[bool]()

    def watched(thread: threading.Thread) -> None:
        seen.append(committer.alive)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", watched)
    assert submit(committer, a_callback()) is Verdict.ACCEPTED
    assert seen == [True]


@pytest.mark.parametrize("lie", ["", "has seen everything"])
def test_connections_that_the_server_cut_cost_nobody_an_answer(postgres_url: str, lie: str) -> None:
    """A restart or a pooler's whim between two batches is met by trying once more, also where memory has it looked up first."""
    one, other = make_engine(postgres_url), make_engine(postgres_url)
    committer = Committer(one, FakeMemory(lie=lie), clock=lambda: NOON, new_id=numbered_ids())
    assert submit(committer, a_callback()) is Verdict.ACCEPTED
    with writing(other) as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert submit(committer, a_callback(orderid="sh-2", signature="s2")) is Verdict.ACCEPTED
    assert len(rows(other, events)) == 2
    one.dispose()
    other.dispose()


def test_a_repeat_that_memory_knows_writes_nothing(engine: Engine, committer: Committer, memory: FakeMemory) -> None:
    """One indexed read, no transaction that writes."""
    again = arrival(a_callback(signature="again"))
    committer.commit([arrival(a_callback())])
    with round_trips_of(engine) as sent:
        committer.commit([again])
    assert again.verdict is Verdict.DUPLICATE
    assert sent in (["SELECT"], ["1 together"])
    assert memory.repeated == ["crossing:succeeded:sh-1"]


def test_round_trips_do_not_grow_with_the_batch(engine: Engine, committer: Committer) -> None:
    """One callback or a hundred cost the same few statements."""
    subscribe(engine)
    counts = []
    for size in (1, 100):
        batch = [
            arrival(a_callback(orderid=f"{size}-{number}", signature=f"{size}-{number}")) for number in range(size)
        ]
        with round_trips_of(engine) as sent:
            committer.commit(batch)
        counts.append(len(sent))
    assert counts[0] == counts[1]
    # On Postgres one exchange reads under the lock and one writes; SQLite answers in process.
    assert counts[0] == (2 if engine.dialect.name == "postgresql" else 7)


def test_rejected_requests_are_kept_without_the_feed_lock(engine: Engine, committer: Committer) -> None:
    """A flood of rubbish does not queue behind the money."""
    refused = Arrival(
        raw={
            "source": "crossing",
            "reason": "bad_signature",
            "address_group": "192.0.2.1",
            "body": b"\x00\xff",
            "received_at": NOON,
        }
    )
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7201001)"))
            assert committer.submit(refused, timeout_s=5) is None
    if engine.dialect.name == "sqlite":
        assert committer.submit(refused, timeout_s=5) is None
    (kept,) = rows(engine, callbacks)
    assert (kept.verdict, kept.reason, bytes(kept.body)) == ("rejected", "bad_signature", b"\x00\xff")


def test_a_database_that_is_gone_is_503_and_leaves_nothing(memory: FakeMemory) -> None:
    """Nobody listens on the port; the caller is told to come back."""
    nowhere = make_engine("postgresql://relay@127.0.0.1:1/relay")
    committer = Committer(nowhere, memory, clock=lambda: datetime.now(UTC), new_id=numbered_ids())
    with pytest.raises(Unavailable):
        submit(committer, a_callback())
    assert committer.alive
    assert memory.keys == set()


def test_sequence_order_is_commit_order_under_concurrent_writers(engine: Engine, doors: list[Committer]) -> None:
    """A reader that follows the feed never sees a number appear behind it."""
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while not done.is_set() or len(seen) < 80:
            with reading(engine) as connection:
                after = seen[-1] if seen else 0
                seen.extend(
                    connection.scalars(
                        select(events.c.sequence).where(events.c.sequence > after).order_by(events.c.sequence)
                    )
                )

    def write(number: int) -> None:
        for place in range(10):
            submit(doors[number % 2], a_callback(orderid=f"{number}-{place}", signature=f"{number}-{place}"))

    reader = threading.Thread(target=follow)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join(timeout=10)
    assert seen == list(range(1, 81))
