"""Orders are made at their provider: committed first, sent once, and settled by its answer, on real sockets and both databases."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from relay.bootstrap import now
from relay.core.creations import pace_name
from relay.errors import Conflict, RelayError, Unprocessable
from relay.flows.creation import LOST_AFTER, MOST_OF_A_ROUND, create, finish
from relay.ports import Reply
from relay.store import creations, paces, rows
from relay.store.creations import write_order
from relay.store.engine import reading, writing
from relay.store.rows import order_from
from tests.edge.providers import FakeProvider
from tests.flows.creating import ADMIN, FIELDS, World, a_world
from tests.system import free_port


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with a_world(engine) as found:
        yield found


def test_an_order_is_made(world: World) -> None:
    """The provider is told our callback URL, and its number for the order is kept."""
    order, request = world.create()
    assert (order["state"], order["version"], order["provider_order_id"]) == ("created", 2, "cz-1")
    assert (order["registered"], order["expected_micros"], order["user_ref"]) == (True, 3_500_000, "7")
    assert (request["state"], request["tries"], request["answer"]) == ("done", 1, '{"provider_order_id": "cz-1"}')
    sent = world.provider.book["sh-1"]
    assert (sent["notify_url"], sent["amount"]) == ("https://relay.example/callbacks/crossing", "3.5")
    assert (sent["localusermark"], sent["address"], sent["username"]) == ("7", FIELDS["address"], "shop")


def test_the_order_is_committed_before_the_request_leaves(world: World) -> None:
    """A callback may overtake the answer, and a process may die at any moment."""
    seen = []
    world.provider.after = lambda _: seen.append((world.order()["state"], world.request()["state"]))
    world.create()
    assert seen == [("creating", "sent")]


def test_a_callback_that_overtook_the_answer_is_not_taken_back(world: World) -> None:
    """The order stays where the callback has moved it; only what was not known is filled in."""

    def overtake(_: str) -> None:
        with writing(world.engine) as connection:
            order = order_from(dict(world.order()))
            paid = replace(order, state="succeeded", version=2, credited_micros=3_500_000)
            write_order(connection, paid, now=world.clock.now())

    world.provider.after = overtake
    order, request = world.create()
    assert (order["state"], order["version"], order["credited_micros"]) == ("succeeded", 2, 3_500_000)
    assert (order["provider_order_id"], request["state"]) == ("cz-1", "done")


def test_the_same_wish_again_changes_nothing(world: World) -> None:
    """It is answered with the same, and nothing is sent."""
    assert world.create() == world.create()
    assert len(world.provider.asked) == 1


@pytest.mark.parametrize(
    "changes",
    [{"amount": "4"}, {"user_ref": "8"}, {"expires_at": "2026-11-24T00:00:00Z"}],
    ids=lambda one: next(iter(one)),
)
def test_another_wish_for_the_same_order_is_a_conflict(world: World, changes: dict[str, str]) -> None:
    """Whoever asks for it with other fields means another order, or is wrong about this one."""
    world.create()
    with pytest.raises(Conflict) as refused:
        world.create(**changes)
    assert refused.value.code == "order_exists"
    assert len(world.provider.asked) == 1


def test_an_order_that_a_callback_brought_is_a_conflict(world: World) -> None:
    """It was made elsewhere."""
    world.create(orderid="sh-2")
    with writing(world.engine) as connection:
        connection.execute(rows.creations.delete())
    with pytest.raises(Conflict):
        world.create(orderid="sh-2")


def test_what_the_provider_refuses_comes_back_in_its_own_words(world: World) -> None:
    """The order has failed, and nobody is told of one that never was."""
    world.provider.before = lambda _: (200, b'{"status": 0, "err": "address is in use"}')
    for _ in range(2):
        with pytest.raises(Unprocessable) as refused:
            world.create()
        assert (refused.value.code, refused.value.detail) == ("provider_refused", "address is in use")
    assert (world.order()["state"], world.request()["state"]) == ("failed", "refused")
    assert len(world.provider.asked) == 1
    with reading(world.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(rows.events)) == 0


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"source": "nowhere"}, "/source"),
        ({"orderid": "a b"}, "/orderid"),
        ({"orderid": "x" * 51}, "/orderid"),
        ({"user_ref": "a=b"}, "/user_ref"),
        ({"amount": "0.0000001"}, "/amount"),
        ({"amount": "3,5"}, "/amount"),
        ({"amount": "3.00001"}, "/amount"),
        ({"address": "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBg"}, "/address"),
        ({"address": ""}, "/address"),
        ({"chain": "ethereum"}, "/chain"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"notify_url": "https://shop.example/hook"}, "/notify_url"),
    ],
)
def test_what_no_provider_could_be_told_is_refused_at_once(world: World, changes: dict[str, str], pointer: str) -> None:
    """Nothing is stored and nothing is sent."""
    with pytest.raises(Unprocessable) as refused:
        world.create(**changes)
    assert refused.value.pointer == pointer, refused.value.detail
    assert (world.order(), world.request(), world.provider.asked) == (None, None, [])


def test_a_key_of_another_source_reaches_nothing(world: World) -> None:
    """Its scope is told by nobody."""
    stranger = replace(ADMIN, roles=frozenset({"service"}), sources=frozenset({"other"}))
    with pytest.raises(Unprocessable, match="no such source"):
        create(world.creator, FIELDS, kind=None, actor=stranger)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"base_url": ""}, Conflict, "base_url"),
        ({"account": {}}, Conflict, r"sources\.crossing\.account\.username"),
        ({}, Unprocessable, "of kind recharge"),
    ],
)
def test_a_source_that_cannot_make_orders_says_why(
    world: World, changes: dict[str, Any], error: type[RelayError], words: str
) -> None:
    """By the key that is missing, or the kinds there are."""
    source = replace(world.source, **changes)
    creator = replace(world.creator, sources={"crossing": source})
    with pytest.raises(error, match=words):
        create(creator, FIELDS, kind="recharge" if changes else "deposit", actor=ADMIN)


def test_one_account_is_called_once_a_second(world: World) -> None:
    """By the row that all processes share: each takes the next second."""
    for number in range(4):
        world.create(orderid=f"sh-{number}")
        world.clock.pass_by(0.25)
    assert world.clock.slept == [0, 0.85, 0.85, 0.85]


def test_a_turn_that_is_far_is_left_to_the_job(world: World) -> None:
    """The caller is told that it waits, and the job sends it, a second each."""
    with writing(world.engine) as connection:
        name = f"{world.source.base_url} {world.source.appid}"
        paces.reserve(connection, name, now=world.clock.now(), latest=world.clock.now(), apart=timedelta(seconds=5))
    order, request = world.create()
    assert (order["state"], request["state"], world.provider.asked) == ("creating", "waiting", [])
    world.clock.pass_by(11)
    assert finish(world.creator) == 1
    assert (world.order()["state"], world.request()["state"]) == ("created", "done")


def test_a_provider_that_answers_slowly_does_not_hold_the_job_for_long(world: World) -> None:
    """A worker has other jobs, and one that is asked to end grants 20 s; the next round goes on."""
    creator = replace(world.creator, places=threading.BoundedSemaphore(1))
    with creator.places:
        for number in range(8):
            create(creator, FIELDS | {"orderid": f"sh-{number}"}, kind=None, actor=ADMIN)
    world.clock.pass_by(11)
    world.provider.before = lambda _: world.clock.pass_by(4.5)
    began = world.clock.now()
    assert finish(world.creator) < 8
    assert world.clock.now() - began < timedelta(seconds=20)
    while finish(world.creator):
        pass
    assert len(world.provider.asked) == 8


def test_a_shop_that_uses_all_turns_of_its_account_keeps_no_other_waiting(world: World) -> None:
    """The job goes on to what leaves by another account, however many requests wait for that one's turn."""
    other = FakeProvider()
    second = replace(world.source, name="second", base_url=other.url)
    creator = replace(world.creator, sources={**world.creator.sources, "second": second}, places=no_place())
    for number in range(MOST_OF_A_ROUND):
        create(creator, FIELDS | {"orderid": f"sh-{number}"}, kind=None, actor=ADMIN)
    create(creator, FIELDS | {"source": "second", "orderid": "sh-other"}, kind=None, actor=ADMIN)
    world.clock.pass_by(11)
    with writing(world.engine) as connection:
        at = world.clock.now()
        paces.reserve(connection, pace_name(world.source), now=at, latest=at, apart=timedelta(seconds=60))
    finish(creator)
    assert (world.request("sh-other")["state"], world.provider.asked) == ("done", [])
    world.clock.pass_by(61)
    while finish(creator):
        pass
    assert len(world.provider.asked) == MOST_OF_A_ROUND
    other.close()


def no_place() -> threading.BoundedSemaphore:
    """The places of a process in which others wait."""
    found = threading.BoundedSemaphore(1)
    found.acquire()
    return found


def test_the_job_leaves_what_somebody_is_at(world: World) -> None:
    """A web thread has ten seconds before the job takes its request up."""
    creator = replace(world.creator, places=threading.BoundedSemaphore(1))
    with creator.places:
        _, request = create(creator, FIELDS, kind=None, actor=ADMIN)
    assert request["state"] == "waiting"
    assert finish(creator) == 0


def test_at_most_two_callers_of_a_process_wait(engine: Engine) -> None:
    """The others are answered at once, so that threads stay free for callbacks."""
    with a_world(engine) as world:
        world.provider.before = lambda _: time.sleep(0.5)
        creator = replace(world.creator, clock=now, sleep=time.sleep)

        def one(number: int) -> str:
            return str(create(creator, FIELDS | {"orderid": f"sh-{number}"}, kind=None, actor=ADMIN)[1]["state"])

        with ThreadPoolExecutor(4) as callers:
            states = sorted(callers.map(one, range(4)))
    assert states == ["done", "done", "waiting", "waiting"]


@pytest.mark.parametrize("answer", [(502, b""), (200, b"<html>"), (302, b"")], ids=["broken", "unreadable", "redirect"])
def test_an_unknown_outcome_is_never_sent_again(world: World, answer: tuple[int, bytes]) -> None:
    """It is shown as unknown, and its provider will be asked."""
    world.provider.before = lambda _: answer
    order, request = world.create()
    assert (order["state"], request["state"]) == ("creating", "unknown")
    for _ in range(3):
        world.clock.pass_by(3600)
        finish(world.creator)
        world.create()
    assert len(world.provider.asked) == 1
    assert world.one(rows.polls, "sh-1")["reason"] == "creation"


def test_whoever_died_after_sending_leaves_an_unknown(world: World) -> None:
    """The mark was committed before the request left, so nobody sends it a second time."""
    world.creator.places.acquire()
    world.creator.places.acquire()
    number = world.create()[1]["id"]
    with writing(world.engine) as connection:
        at = world.clock.now()
        assert creations.take(connection, number, now=at, due_at=at + LOST_AFTER)
        assert not creations.take(connection, number, now=at, due_at=at)
    world.clock.pass_by(61)
    finish(world.creator)
    assert (world.request()["state"], world.provider.asked) == ("unknown", [])


def test_what_never_left_may_leave_again(world: World) -> None:
    """Refused connections and failed look-ups are tried again, later each time, and given up after a day."""
    source = replace(world.source, base_url=f"http://127.0.0.1:{free_port()}")
    away = replace(world.creator, sources={"crossing": source})
    _, request = create(away, FIELDS, kind=None, actor=ADMIN)
    assert (request["state"], request["error"], request["tries"]) == ("waiting", "refused", 1)
    waits = []
    for _ in range(4):
        waits.append((world.request()["due_at"] - world.clock.now()).total_seconds())
        world.clock.pass_by(waits[-1])
        finish(away)
    assert waits == [10, 20, 40, 80]
    world.clock.pass_by(86_401)
    finish(away)
    assert (world.request()["state"], world.order()["state"]) == ("refused", "failed")


def test_what_never_left_is_made_when_the_provider_is_back(world: World) -> None:
    """By the job, without anybody asking."""
    gone = replace(world.creator, provider=Unreachable())
    create(gone, FIELDS, kind=None, actor=ADMIN)
    world.clock.pass_by(10)
    finish(world.creator)
    assert (world.order()["state"], world.request()["tries"]) == ("created", 2)


class Unreachable:
    def exchange(self, *_: object, **__: object) -> Reply:
        return Reply(status=None, error="dns", left=False)


def test_a_provider_that_is_busy_is_asked_later(world: World) -> None:
    """It has turned the request away unread."""
    world.provider.before = lambda _: (429, b"")
    assert world.create()[1]["state"] == "waiting"


def test_a_source_that_is_gone_holds_up_nobody(world: World) -> None:
    """Its request waits; with the old configuration back it leaves."""
    gone = replace(world.creator, provider=Unreachable())
    create(gone, FIELDS, kind=None, actor=ADMIN)
    world.clock.pass_by(10)
    finish(replace(world.creator, sources={}))
    assert "not configured" in world.request()["error"]
    world.clock.pass_by(10)
    finish(replace(world.creator, sources={"crossing": replace(world.source, account={})}))
    assert "account.username" in world.request()["error"]
    world.clock.pass_by(10)
    finish(world.creator)
    assert world.order()["state"] == "created"


def test_an_unpaid_order_is_asked_about_after_its_grace(world: World) -> None:
    """The poll is planned with the order."""
    world.create()
    poll = world.one(rows.polls, "sh-1")
    assert (poll["reason"], (poll["due_at"] - world.clock.now()).total_seconds()) == ("unpaid", world.source.grace_s)
