"""Whose turn it is: a rate over all processes, and the events of one order one after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from relay.core.retries import Step
from relay.flows.delivery import Drain, drain
from relay.ports import Answer
from relay.store import outbox
from relay.store.engine import CLAIM_LOCK, reading, writing
from relay.store.outbox import Claim, Settlement
from relay.store.rows import deliveries, events
from relay.store.turns import spend
from tests.builders import NOON
from tests.fakes import FakeOutbound, numbered_ids, round_trips_of
from tests.flows import test_delivery
from tests.flows.test_delivery import SECRET, announce, now, run, said, subscribe
from tests.rows import a_delivery, an_endpoint, an_event

two_engines = test_delivery.two_engines
TYPES = ("recharge.pending", "recharge.succeeded", "recharge.adjusted")


def claim(engine: Engine, at: datetime = NOON) -> list[Claim]:
    """Claim as a drainer does, at a moment."""
    with writing(engine, lock=CLAIM_LOCK) as connection:
        return outbox.claim(connection, owner="me", room=500, now=at, lease_s=45)


def settle(engine: Engine, claims: Sequence[Claim], state: str = "delivered", at: datetime = NOON) -> None:
    """Let exchanges end."""
    due = at + timedelta(minutes=5) if state == "pending" else None
    step = Step(outcome="failed", state=state, failures=1, due_at=due)
    with writing(engine, lock=CLAIM_LOCK) as connection:
        outbox.settle(connection, [Settlement(claim=one, step=step, finished_at=at, status=200) for one in claims])


def events_for(engine: Engine, endpoint: str, *orderids: str | None) -> list[int]:
    """One event after the other, each of an order or of none; return their deliveries."""
    made = []
    for sequence, orderid in enumerate(orderids, start=1):
        an_event(engine, sequence, type="recharge.pending", orderid=orderid, namespace=orderid and "crossing")
        made.append(a_delivery(engine, sequence, endpoint))
    return made


def sequences(claims: Sequence[Claim]) -> list[int]:
    """Which events were claimed."""
    return sorted(one.event_sequence for one in claims)


@pytest.mark.parametrize(("rate", "most"), [(1, 10), (3, 30), (40, 400), (None, 450)])
def test_a_rate_holds_over_all_processes(
    engine: Engine, two_engines: list[Engine], rate: int | None, most: int
) -> None:
    """Ten seconds of ticks, of two drainers in turn: as many as the rate lets through, and a short burst."""
    endpoint = an_endpoint(engine, rate=rate, concurrency=100)
    with writing(engine) as connection:
        usual = {"id": "evt", "type": "relay.test", "flags": "", "body": "{}", "created_at": NOON}
        numbers = range(1, 451)
        connection.execute(events.insert(), [usual | {"sequence": n, "id": f"evt_{n}"} for n in numbers])
        row = {"endpoint_id": endpoint, "state": "pending", "due_at": NOON, "created_at": NOON}
        row |= {"attempts": 0, "failures": 0, "unknowns": 0}
        connection.execute(deliveries.insert(), [row | {"event_sequence": n} for n in numbers])
    for tick in range(100):
        at = NOON + timedelta(seconds=tick / 10)
        with writing(two_engines[tick % 2], lock=CLAIM_LOCK) as connection:
            outbox.claim(connection, owner="me", room=500, now=at, lease_s=45)
            # Exchanges end at once, so that only the rate holds anything up.
            connection.execute(update(deliveries).where(deliveries.c.state == "sending").values(state="delivered"))
    with reading(engine) as connection:
        done = len(connection.execute(select(deliveries.c.id).where(deliveries.c.state == "delivered")).all())
    assert most * 0.97 <= done <= most + (rate or 0) / 4 + 1


def test_a_rate_holds_up_nobody_else(engine: Engine) -> None:
    """One tick: one and a quarter of a second's worth here, everything there."""
    for endpoint in (an_endpoint(engine, rate=8), an_endpoint(engine)):
        for sequence in range(1, 11):
            a_delivery(engine, sequence, endpoint)
    for sequence in range(1, 11):
        an_event(engine, sequence)
    claimed = [one.rate for one in claim(engine)]
    assert (claimed.count(8), claimed.count(None)) == (3, 10)


def test_a_clock_that_was_wrong_stops_nobody(engine: Engine) -> None:
    """What was noted by a clock years ahead is forgotten."""
    endpoint = an_endpoint(engine, rate=4)
    events_for(engine, endpoint, *"abc")
    with writing(engine) as connection:
        spend(connection, {endpoint: (4, 1)}, now=NOON + timedelta(days=900))
    assert len(claim(engine)) == 2
    assert claim(engine, NOON + timedelta(seconds=0.1)) == []
    assert len(claim(engine, NOON + timedelta(seconds=0.3))) == 1


def test_what_a_rate_holds_back_is_sent_without_a_ring(engine: Engine) -> None:
    """The drainer wakes by itself when there is room again."""

    class Deaf:
        async def wait(self, _timeout_s: float) -> bool:
            await asyncio.sleep(3600)
            return False

    subscribe(engine, "paced", rate=40)
    announce(engine, 15)
    outbound = FakeOutbound(lambda *_: said())
    run(engine, outbound, until=lambda: len(outbound.sent) == 15, bell=Deaf())


def test_a_later_event_waits_for_the_earlier_one(engine: Engine) -> None:
    """At an ordered endpoint; other orders, and events of none, go on."""
    ordered, usual = an_endpoint(engine, ordered=True), an_endpoint(engine)
    events_for(engine, ordered, "a", "a", "b", None, None, "a")
    for sequence in range(1, 7):
        a_delivery(engine, sequence, usual)
    claims = claim(engine)
    mine = [one for one in claims if one.endpoint_id == ordered]
    assert sequences(mine) == [1, 3, 4, 5]
    assert len(claims) - len(mine) == 6
    settle(engine, mine)
    for sequence in (2, 6):
        (following,) = claim(engine)
        assert following.event_sequence == sequence
        assert claim(engine) == []
        settle(engine, [following])


def test_it_waits_as_long_as_the_earlier_one_is_tried_again(engine: Engine) -> None:
    """And is not looked at meanwhile; death frees it."""
    first, second = events_for(engine, an_endpoint(engine, ordered=True), "a", "a")
    settle(engine, claim(engine), "pending")
    assert claim(engine, NOON + timedelta(seconds=6)) == []
    with reading(engine) as connection:
        due = {row.id: row.due_at for row in connection.execute(select(deliveries))}
    assert due[first] == due[second] == NOON + timedelta(minutes=5)
    later = NOON + timedelta(minutes=5)
    again = claim(engine, later)
    assert sequences(again) == [1]
    settle(engine, again, "dead", later)
    assert sequences(claim(engine, later)) == [2]


@pytest.mark.parametrize(
    ("state", "waits"),
    [("pending", True), ("sending", True), ("paused", True), ("held", True), ("delivered", False), ("dead", False)],
)
def test_whatever_is_open_is_waited_for(engine: Engine, state: str, *, waits: bool) -> None:
    """Only what is over is over; and another endpoint's delivery is nobody's business."""
    first, _ = events_for(engine, an_endpoint(engine, ordered=True), "a", "a")
    a_delivery(engine, 1, an_endpoint(engine, state="disabled"), state="paused")
    with writing(engine) as connection:
        late = {"due_at": NOON + timedelta(days=1)}
        connection.execute(update(deliveries).where(deliveries.c.id == first).values(state=state, **late))
    assert sequences(claim(engine)) == ([] if waits else [2])


def test_what_waits_does_not_hide_what_is_behind_it(engine: Engine) -> None:
    """Though it is older, and more than there are slots."""
    endpoint = an_endpoint(engine, ordered=True, concurrency=4)
    first, *_ = events_for(engine, endpoint, *["a"] * 20, "b")
    with writing(engine) as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == first).values(due_at=NOON + timedelta(hours=1)))
    assert sequences(claim(engine)) == [21]


def test_a_replayed_event_is_waited_for_too(engine: Engine) -> None:
    """A retry makes the earlier one open again; when it is over the later one goes at once."""
    first, _ = events_for(engine, an_endpoint(engine, ordered=True), "a", "a")
    with writing(engine) as connection:
        later = {"due_at": NOON + timedelta(hours=10), "failures": 9}
        connection.execute(update(deliveries).where(deliveries.c.id == first).values(**later))
    assert claim(engine) == []
    with writing(engine) as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == first).values(due_at=NOON, failures=0))
    settle(engine, claim(engine))
    assert sequences(claim(engine)) == [2]


def test_endpoints_without_these_wishes_cost_no_statement(engine: Engine) -> None:
    """A claim and its outcome are as many exchanges as when nobody had them."""
    usual = an_endpoint(engine)
    events_for(engine, usual, *"ab")
    counts = []
    for at in (NOON, NOON + timedelta(seconds=1)):
        with writing(engine) as connection:
            connection.execute(
                update(deliveries).where(deliveries.c.id == 2).values(due_at=NOON + timedelta(seconds=1))
            )
        with round_trips_of(engine) as sent:
            settle(engine, claim(engine, at), at=at)
        counts.append([one for one in sent if "together" in one or "SELECT" not in one])
        an_endpoint(engine, rate=5, ordered=True)
    assert counts[0] == counts[1]


class Witness:
    """An outbound that notes, for each order, in which order its events began and ended, and fails now and then."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.told: dict[str, list[int]] = {}
        self.faults: list[str] = []
        self._count = 0

    async def post(self, _url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        assert headers
        data: dict[str, Any] = json.loads(body)["data"]
        order = data["orderid"]
        if order in self.open:
            self.faults.append(f"two events of {order} at once")
        self.open.add(order)
        self._count += 1
        fails = self._count % 7 == 0
        await asyncio.sleep(0.002 * (data["sequence"] % 5))
        self.open.discard(order)
        if not fails:
            self.told.setdefault(order, []).append(data["sequence"])
        return said(500 if fails else 204)


def test_two_drainers_keep_every_order_in_order(engine: Engine, two_engines: list[Engine]) -> None:
    """A race of real connections: no two events of an order at once, none before its time, none forgotten."""
    secrets = json.dumps([{"secret": SECRET, "expires_at": None}])
    endpoint = an_endpoint(engine, ordered=True, secrets=secrets)
    expected: dict[str, list[int]] = {}
    for sequence in range(1, 46):
        order = f"sh-{sequence % 15}"
        kind, body = TYPES[(sequence - 1) // 15], json.dumps({"data": {"orderid": order, "sequence": sequence}})
        an_event(engine, sequence, type=kind, orderid=order, body=body)
        a_delivery(engine, sequence, endpoint)
        expected.setdefault(order, []).append(sequence)
    witness = Witness()

    def hurry() -> bool:
        """What failed is due at once, as if its wait were over; tell whether all is done."""
        with writing(engine) as connection:
            waiting = deliveries.c.state == "pending"
            connection.execute(update(deliveries).where(waiting, deliveries.c.failures > 0).values(due_at=now()))
            left = connection.execute(select(deliveries.c.id).where(deliveries.c.state != "delivered")).all()
        return not left

    async def main() -> None:
        stopping = asyncio.Event()
        usual: dict[str, Any] = {"outbound": witness, "unwrap": str, "clock": now, "new_id": numbered_ids()}
        drains = [Drain(engine=one, owner=f"{n}", bell=Quick(), **usual) for n, one in enumerate(two_engines)]
        tasks = [asyncio.create_task(drain(one, stopping=stopping)) for one in drains]
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(hurry):  # noqa: ASYNC110  # the database does not call back
                await asyncio.sleep(0.02)
        stopping.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert witness.faults == []
    assert witness.told == expected


class Quick:
    """A bell that is looked at often."""

    async def wait(self, _timeout_s: float) -> bool:
        await asyncio.sleep(0.01)
        return False
