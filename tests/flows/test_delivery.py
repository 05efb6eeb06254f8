"""The way out: claims, outcomes, leases and caps, on both databases, with the network played by a fake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from relay.core.retries import Step
from relay.core.webhooks import key_of, new_secret, signed_headers
from relay.errors import Unavailable
from relay.flows.committer import Committer
from relay.flows.delivery import Drain, drain
from relay.flows.judgement import Arrival
from relay.flows.outcomes import reclaim
from relay.ports import Answer, Outbound
from relay.store import outbox
from relay.store.engine import CLAIM_LOCK, make_engine, reading, writing
from relay.store.rows import attempts, deliveries, endpoints, events
from tests.builders import a_callback, a_source
from tests.fakes import FakeMemory, FakeOutbound, numbered_ids, round_trips_of

SECRET = new_secret(b"s" * 32)


def now() -> datetime:
    """The drainer's clock is the real one."""
    return datetime.now(UTC)


class Silence:
    """A bell that nobody rings: the poll is what wakes, quickly."""

    async def wait(self, _timeout_s: float) -> bool:
        await asyncio.sleep(0.02)
        return False


def said(status: int | None = 204, **fields: Any) -> Answer:
    """An answer of an endpoint."""
    return Answer(status=status, error=fields.pop("error", None if status else "timeout"), latency_ms=1, **fields)


def subscribe(engine: Engine, *names: str, **changes: Any) -> None:
    """Register endpoints under https://<name>.example/."""
    with writing(engine) as connection:
        for name in names:
            row = {
                "id": name,
                "url": f"https://{name}.example/",
                "description": "",
                "format": "standard",
                "state": "enabled",
                "concurrency": 32,
                "secrets": json.dumps([{"secret": SECRET, "expires_at": None}]),
                "created_at": now(),
            }
            connection.execute(insert(endpoints), row | changes)


def announce(engine: Engine, count: int = 1) -> None:
    """Let paid callbacks through the door, so that there is something to deliver."""
    committer = Committer(engine, FakeMemory(), clock=now, new_id=numbered_ids())
    batch = [
        Arrival(
            raw={"source": "crossing", "received_at": now()},
            callback=a_callback(orderid=f"o{n}", signature=f"s{n}"),
            source=a_source(),
        )
        for n in range(count)
    ]
    committer.commit(batch)


def run(
    engine: Engine, outbound: Outbound, *, until: Callable[[], bool], within_s: float = 30.0, **changes: Any
) -> int:
    """Run a drainer until a condition holds."""

    async def main() -> int:
        stopping = asyncio.Event()
        usual: dict[str, Any] = {
            "engine": engine,
            "outbound": outbound,
            "bell": Silence(),
            "unwrap": str,
            "clock": now,
            "new_id": numbered_ids("op"),
            "owner": "me",
        }
        task = asyncio.create_task(drain(Drain(**(usual | changes)), stopping=stopping))
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(until):  # noqa: ASYNC110  # the database does not call back
                await asyncio.sleep(0.02)
        stopping.set()
        return await task

    return asyncio.run(main())


def rows(engine: Engine, table: Any) -> Sequence[Any]:
    """Everything a table holds, in order."""
    with reading(engine) as connection:
        return connection.execute(select(table).order_by(*table.primary_key.columns)).all()


def states(engine: Engine) -> list[str]:
    """The states of all deliveries."""
    return [one.state for one in rows(engine, deliveries)]


def settled(engine: Engine) -> Callable[[], bool]:
    """True once no delivery waits for its first outcome."""
    return lambda: (
        bool(rows(engine, deliveries))
        and all(one.outcome for one in rows(engine, attempts))
        and not any(one.attempts == 0 and one.state == "pending" for one in rows(engine, deliveries))
    )


def make_due(engine: Engine) -> None:
    """Let every waiting delivery be due now."""
    with writing(engine) as connection:
        connection.execute(deliveries.update().where(deliveries.c.state == "pending").values(due_at=now()))
        connection.execute(endpoints.update().values(not_before=None))


def test_each_endpoint_is_told_once_with_headers_that_verify(engine: Engine) -> None:
    """Standard Webhooks headers over exactly the stored bytes."""
    subscribe(engine, "wallet", "ledger")
    announce(engine)
    outbound = FakeOutbound(lambda *_: said())
    assert run(engine, outbound, until=settled(engine)) == 2
    body = rows(engine, events)[0].body.encode()
    for _, headers, sent in outbound.sent:
        assert sent == body
        again = signed_headers("evt_1", body, [key_of(SECRET)], timestamp=int(headers["webhook-timestamp"]))
        assert headers == again
    assert states(engine) == ["delivered", "delivered"]


def test_the_attempt_is_committed_before_the_network_is_touched(engine: Engine) -> None:
    """A killed process leaves a trace of what it may have sent."""
    subscribe(engine, "wallet")
    announce(engine)
    found: list[Any] = []

    def look(*_: Any) -> Answer:
        found.extend(rows(engine, attempts))
        return said()

    run(engine, FakeOutbound(look), until=settled(engine))
    ((_, number, _, finished_at, outcome, *_),) = found
    assert (number, finished_at, outcome) == (1, None, None)


def test_an_outcome_is_written_with_what_was_answered(engine: Engine) -> None:
    """Status, time and the first bytes help whoever asks why."""
    subscribe(engine, "wallet")
    announce(engine)
    run(engine, FakeOutbound(lambda *_: said(500, body="database is locked")), until=settled(engine))
    (attempt,), (delivery,) = rows(engine, attempts), rows(engine, deliveries)
    assert (attempt.outcome, attempt.status, attempt.answer) == ("failed", 500, "database is locked")
    assert (delivery.state, delivery.failures, delivery.last_status, delivery.lease_until) == ("pending", 1, 500, None)
    assert 4 <= (delivery.due_at - attempt.finished_at).total_seconds() <= 6


def test_the_tenth_failure_is_dead_and_announced(engine: Engine) -> None:
    """Somebody who asked for it hears of a dead letter."""
    subscribe(engine, "wallet")
    subscribe(engine, "pager", event_types=",delivery.exhausted,")
    announce(engine)
    with writing(engine) as connection:
        connection.execute(deliveries.update().values(failures=9))
    outbound = FakeOutbound(lambda url, *_: said(500 if "wallet" in url else 204))
    run(engine, outbound, until=lambda: "pager" in "".join(url for url, *_ in outbound.sent))
    assert states(engine) == ["dead", "delivered"]
    told = json.loads(rows(engine, events)[-1].body)
    assert told["type"] == "delivery.exhausted"
    assert told["data"]["endpoint_id"] == "wallet"
    assert told["data"]["orderid"] == "o0"


def test_an_outcome_that_is_written_is_not_written_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events are committed before the claim; where that fails, no failure counts twice."""
    subscribe(engine, "wallet")
    announce(engine)
    with writing(engine) as connection:
        connection.execute(deliveries.update().values(failures=9))
    take = outbox.claim
    # The first claim makes the attempt, the second comes with its outcome and meets a database that is gone.
    fates = iter((take, _away))

    def claimed(*given: Any, **asked: Any) -> list[outbox.Claim]:
        return next(fates, take)(*given, **asked)

    monkeypatch.setattr(outbox, "claim", claimed)
    run(engine, FakeOutbound(lambda *_: said(500)), until=lambda: states(engine) == ["dead"])
    assert [one.failures_in_row for one in rows(engine, endpoints)] == [1]
    assert [row.type for row in rows(engine, events)] == ["recharge.succeeded", "delivery.exhausted"]


def _away(*_: Any, **__: Any) -> list[outbox.Claim]:
    raise Unavailable("the database does not answer")


def test_a_dead_announcement_is_not_announced_again(engine: Engine) -> None:
    """Else the pager's own failure would feed itself for ever."""
    subscribe(engine, "pager", event_types=",delivery.exhausted,recharge.succeeded,")
    announce(engine)
    with writing(engine) as connection:
        connection.execute(deliveries.update().values(failures=9))
    run(engine, FakeOutbound(lambda *_: said(500)), until=lambda: len(rows(engine, deliveries)) == 2)
    with writing(engine) as connection:
        connection.execute(deliveries.update().where(deliveries.c.state == "pending").values(failures=9, due_at=now()))
    run(engine, FakeOutbound(lambda *_: said(500)), until=lambda: states(engine) == ["dead", "dead"])
    assert len(rows(engine, events)) == 2


def test_gone_twice_ten_minutes_apart_disables_the_endpoint(engine: Engine) -> None:
    """The first 410 pauses; deliveries of a disabled endpoint wait, none is lost."""
    subscribe(engine, "wallet")
    announce(engine, 3)
    gone = FakeOutbound(lambda *_: said(410))
    run(engine, gone, until=settled(engine))
    (first,) = rows(engine, endpoints)
    assert (first.state, first.gone_at is not None) == ("enabled", True)
    assert first.not_before - now() > timedelta(minutes=9)
    make_due(engine)
    with writing(engine) as connection:
        connection.execute(endpoints.update().values(gone_at=now() - timedelta(minutes=11)))
    run(engine, gone, until=lambda: rows(engine, endpoints)[0].state == "disabled")
    assert set(states(engine)) <= {"paused", "pending"}
    assert [one.type for one in rows(engine, events)].count("endpoint.disabled") == 1


def test_an_endpoint_that_comes_back_is_forgiven(engine: Engine) -> None:
    """A success forgets the 410."""
    subscribe(engine, "wallet", gone_at=now() - timedelta(minutes=11))
    announce(engine)
    run(engine, FakeOutbound(lambda *_: said()), until=settled(engine))
    assert rows(engine, endpoints)[0].gone_at is None


def test_an_endpoint_that_asks_for_rest_gets_it(engine: Engine) -> None:
    """Retry-After holds for all of its deliveries, and for no other endpoint's."""
    subscribe(engine, "busy", concurrency=1)
    subscribe(engine, "idle")
    announce(engine, 5)
    outbound = FakeOutbound(lambda url, *_: said(429, retry_after_s=60) if "busy" in url else said())
    run(engine, outbound, until=lambda: states(engine).count("delivered") == 5)
    assert sum("busy" in url for url, *_ in outbound.sent) == 1


class Crowd:
    """An outbound that holds exchanges open and remembers how many there were at once."""

    def __init__(self, hold_s: dict[str, float]) -> None:
        self.hold_s = hold_s
        self.now_open: dict[str, int] = {}
        self.most_open: dict[str, int] = {}
        self.done: list[str] = []

    async def post(self, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        name = url.removeprefix("https://").partition(".")[0]
        self.now_open[name] = self.now_open.get(name, 0) + 1
        self.most_open[name] = max(self.most_open.get(name, 0), self.now_open[name])
        await asyncio.sleep(self.hold_s.get(name, 0.01))
        self.now_open[name] -= 1
        self.done.append(name)
        return said()


@pytest.fixture
def two_engines(database_url: str) -> Iterator[list[Engine]]:
    """Connections of two processes."""
    engines = [make_engine(database_url) for _ in range(2)]
    yield engines
    for one in engines:
        one.dispose()


def test_an_endpoint_never_has_more_open_exchanges_than_its_cap(engine: Engine, two_engines: list[Engine]) -> None:
    """Not even with two drainers on two connections."""
    subscribe(engine, "small", concurrency=3)
    announce(engine, 40)
    crowd = Crowd({"small": 0.03})

    async def main() -> None:
        stopping = asyncio.Event()
        usual: dict[str, Any] = {
            "outbound": crowd,
            "bell": Silence(),
            "unwrap": str,
            "clock": now,
            "new_id": numbered_ids(),
        }
        drains = [Drain(engine=one, owner=f"owner {place}", **usual) for place, one in enumerate(two_engines)]
        tasks = [asyncio.create_task(drain(one, stopping=stopping)) for one in drains]
        async with asyncio.timeout(20):
            while len(crowd.done) < 40:  # noqa: ASYNC110  # the crowd is not told to tell us
                await asyncio.sleep(0.02)
        stopping.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert crowd.most_open["small"] == 3
    assert (states(engine), len(crowd.done)) == (["delivered"] * 40, 40)


def test_a_hanging_endpoint_delays_no_other(engine: Engine) -> None:
    """Its cap is all it can take of the window, and nobody waits for a batch to end."""
    subscribe(engine, "hanging", concurrency=4)
    subscribe(engine, "quick")
    announce(engine, 30)
    crowd = Crowd({"hanging": 1.5})
    run(engine, crowd, until=lambda: crowd.done.count("quick") == 30, within_s=5, window=16)
    assert crowd.most_open["hanging"] == 4
    assert crowd.done[:30].count("quick") == 30


def test_stopping_finishes_open_exchanges_and_claims_no_more(engine: Engine) -> None:
    """SIGTERM spends no attempt: what was sent is settled, what was not waits untouched."""
    subscribe(engine, "slow", concurrency=2)
    announce(engine, 6)
    crowd = Crowd({"slow": 0.3})
    run(engine, crowd, until=lambda: crowd.most_open.get("slow") == 2)
    assert len(crowd.done) == 2
    assert sorted(states(engine)) == ["delivered"] * 2 + ["pending"] * 4
    assert [one.attempts for one in rows(engine, deliveries)] == [1, 1, 0, 0, 0, 0]


def claim(
    engine: Engine, owner: str = "me", *, room: int = 100, lease_s: float = 45.0, among: int = 1
) -> list[outbox.Claim]:
    """Claim as a drainer does."""
    with writing(engine, lock=CLAIM_LOCK) as connection:
        return outbox.claim(connection, owner=owner, room=room, now=now(), lease_s=lease_s, among=among)


def test_stopping_settles_open_exchanges_also_when_claims_cannot_go_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be gone for just that moment: nobody is sent twice what he has answered."""
    subscribe(engine, "slow")
    announce(engine, 2)
    crowd, take = Crowd({"slow": 0.3}), outbox.claim

    async def main() -> int:
        stopping = asyncio.Event()

        def one_at_a_time(*given: Any, **asked: Any) -> list[outbox.Claim]:
            found = take(*given, **asked | {"room": 1})
            if crowd.now_open:
                stopping.set()
            return found

        monkeypatch.setattr(outbox, "claim", one_at_a_time)
        monkeypatch.setattr(outbox, "give_back", _away)
        parts: dict[str, Any] = {"bell": Silence(), "unwrap": str, "clock": now, "new_id": numbered_ids("op")}
        return await drain(Drain(engine=engine, outbound=crowd, owner="me", **parts), stopping=stopping)

    assert asyncio.run(main()) == 1
    assert states(engine) == ["delivered", "sending"]


def test_neighbours_share_the_slots_of_an_endpoint(engine: Engine) -> None:
    """Each takes its part, rounded up, as often as it asks; all of them never more than there are."""
    subscribe(engine, "wallet", concurrency=5)
    announce(engine, 10)
    taken = [len(claim(engine, owner, among=2)) for owner in ("one", "one", "other", "other")]
    assert taken == [3, 0, 2, 0]


def test_a_deliverer_without_neighbours_has_every_slot(engine: Engine) -> None:
    """What somebody else holds is still counted."""
    subscribe(engine, "wallet", concurrency=5)
    announce(engine, 10)
    assert len(claim(engine, "who was here before", room=2)) == 2
    assert len(claim(engine, "me")) == 3


def test_an_abandoned_claim_is_taken_back_as_unknown(engine: Engine) -> None:
    """It is repeated at once under the same id, and the schedule does not advance."""
    subscribe(engine, "wallet")
    announce(engine)
    assert len(claim(engine, lease_s=-1)) == 1
    assert reclaim(engine, now=now(), new_id=numbered_ids()) == 1
    (delivery,), (attempt,) = rows(engine, deliveries), rows(engine, attempts)
    assert (delivery.state, delivery.attempts, delivery.failures, delivery.unknowns) == ("pending", 1, 0, 1)
    assert (attempt.outcome, attempt.error) == ("unknown", "process_vanished")
    (again,) = claim(engine)
    assert (again.number, again.event_id) == (2, "evt_1")


def test_a_death_that_two_see_at_once_is_announced_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every deliverer looks for abandoned attempts, and may find what another is just taking back."""
    subscribe(engine, "wallet")
    announce(engine)
    with writing(engine) as connection:
        connection.execute(deliveries.update().values(failures=9, unknowns=2))
    claim(engine, lease_s=-1)
    look = outbox.expired

    def look_and_be_overtaken(connection: Connection, **asked: Any) -> list[outbox.Claim]:
        found = look(connection, **asked)
        monkeypatch.setattr(outbox, "expired", look)
        assert reclaim(engine, now=now(), new_id=numbered_ids("other")) == 1
        return found

    monkeypatch.setattr(outbox, "expired", look_and_be_overtaken)
    reclaim(engine, now=now(), new_id=numbered_ids("late"))
    assert states(engine) == ["dead"]
    assert [row.type for row in rows(engine, events)] == ["recharge.succeeded", "delivery.exhausted"]


def test_a_live_claim_is_left_alone(engine: Engine) -> None:
    """A slow exchange is not a dead one."""
    subscribe(engine, "wallet")
    announce(engine)
    claim(engine)
    assert reclaim(engine, now=now(), new_id=numbered_ids()) == 0
    assert states(engine) == ["sending"]


def test_an_outcome_after_its_lease_still_counts_unless_a_later_attempt_was_opened(engine: Engine) -> None:
    """The late truth beats the guess; a newer attempt beats both."""
    subscribe(engine, "wallet")
    announce(engine)
    (first,) = claim(engine, lease_s=-1)
    reclaim(engine, now=now(), new_id=numbered_ids())
    late = outbox.Settlement(
        claim=first, step=Step(outcome="delivered", state="delivered", failures=0), finished_at=now(), status=204
    )
    with writing(engine) as connection:
        outbox.settle(connection, [late])
    assert states(engine) == ["delivered"]
    assert rows(engine, attempts)[0].outcome == "delivered"


def test_claims_that_were_not_sent_go_back_as_if_never_made(engine: Engine) -> None:
    """No attempt is spent."""
    subscribe(engine, "wallet")
    announce(engine, 2)
    with writing(engine) as connection:
        claimed = outbox.claim(connection, owner="me", room=10, now=now(), lease_s=45)
        outbox.give_back(connection, claimed)
    assert [(one.state, one.attempts) for one in rows(engine, deliveries)] == [("pending", 0)] * 2
    assert rows(engine, attempts) == []


def test_a_large_backlog_of_one_endpoint_does_not_crowd_out_another(engine: Engine) -> None:
    """Room is dealt round by round."""
    subscribe(engine, "big", concurrency=100)
    announce(engine, 50)
    subscribe(engine, "late", concurrency=100)
    with writing(engine) as connection:
        connection.execute(text("UPDATE deliveries SET event_sequence = event_sequence"))
        row = {
            "event_sequence": 50,
            "endpoint_id": "late",
            "state": "pending",
            "attempts": 0,
            "failures": 0,
            "unknowns": 0,
        }
        connection.execute(insert(deliveries), row | {"due_at": now(), "created_at": now()})
    assert {one.endpoint_id for one in claim(engine, room=4)} == {"big", "late"}


def test_round_trips_of_a_tick_do_not_grow_with_its_claims(engine: Engine) -> None:
    """Claiming a hundred costs as many round trips as claiming one."""
    subscribe(engine, "wallet", concurrency=500)
    counts = []
    for count in (1, 100):
        _more(engine, count)
        with round_trips_of(engine) as sent:
            claimed = claim(engine)
            with writing(engine) as connection:
                done = Step(outcome="delivered", state="delivered", failures=0)
                ended = [outbox.Settlement(claim=one, step=done, finished_at=now(), status=200) for one in claimed]
                outbox.settle(connection, ended)
        assert len(claimed) == count
        counts.append(len(sent))
    assert counts[0] == counts[1]


def _more(engine: Engine, count: int) -> None:
    committer = Committer(engine, FakeMemory(), clock=now, new_id=numbered_ids(f"m{count}-"))
    committer.commit(
        [
            Arrival(
                raw={"source": "crossing", "received_at": now()},
                callback=a_callback(orderid=f"m{count}-{n}", signature=f"m{count}-{n}"),
                source=a_source(),
            )
            for n in range(count)
        ]
    )


def test_a_rotated_secret_signs_until_it_expires(engine: Engine) -> None:
    """Both sign during the overlap; afterwards only the new one."""
    old, new = new_secret(b"o" * 32), new_secret(b"n" * 32)
    entries = [
        {"secret": new, "expires_at": None},
        {"secret": old, "expires_at": "2999-01-01T00:00:00.000Z"},
        {"secret": SECRET, "expires_at": "2020-01-01T00:00:00.000Z"},
    ]
    subscribe(engine, "wallet", secrets=json.dumps(entries))
    announce(engine)
    outbound = FakeOutbound(lambda *_: said())
    run(engine, outbound, until=settled(engine))
    ((_, headers, body),) = outbound.sent
    assert headers == signed_headers(
        "evt_1", body, [key_of(new), key_of(old)], timestamp=int(headers["webhook-timestamp"])
    )


@pytest.mark.parametrize("state", ["paused", "disabled"])
def test_an_endpoint_that_is_not_enabled_is_not_called(engine: Engine, state: str) -> None:
    """Its deliveries wait."""
    subscribe(engine, "off", state=state)
    subscribe(engine, "on")
    announce(engine)
    outbound = FakeOutbound(lambda *_: said())
    run(engine, outbound, until=lambda: "delivered" in states(engine))
    assert [url for url, *_ in outbound.sent] == ["https://on.example/"]
