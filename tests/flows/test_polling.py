"""Providers are asked about orders that await their word, on real sockets and both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from relay.core import creations as rules
from relay.flows import creation
from relay.flows.polling import Poller, poll, wait_s
from relay.ports import Reply
from relay.store import paces, polls, provider_answers, rows
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.edge.providers import FakeProvider
from tests.fakes import numbered_ids
from tests.flows.creating import World, a_world
from tests.rows import a_stored_order

BROKEN = (502, b"")
GRACE = timedelta(seconds=400)


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with a_world(engine) as found:
        yield found


def polled(world: World, *, for_s: float = 8) -> int:
    """One round; every second of it passes by the sleeping for turns."""
    return poll(Poller(creator=world.creator, new_id=numbered_ids()), for_s=for_s)


def asked(world: World) -> list[str]:
    """The orders that were asked about, in order."""
    return [fields["orderid"] for _, path, fields in world.provider.asked if path.endswith("orderstatus")]


def test_an_unpaid_order_is_asked_about_after_its_grace(world: World) -> None:
    """What the provider says is kept, and nothing is credited by it."""
    world.create()
    world.provider.paid["sh-1"] = {"status": 1, "amount": "3.5", "txid": "ab", "t": 1_700_000_000}
    assert polled(world) == 0
    assert asked(world) == []
    world.clock.pass_by(301)
    polled(world)
    fact = world.one(rows.provider_facts, "sh-1")
    assert (fact["status"], fact["amount_micros"], fact["tx_hash"], fact["via"]) == (
        "succeeded",
        3_500_000,
        "ab",
        "query",
    )
    assert (world.order()["state"], world.order()["credited_micros"]) == ("created", 0)
    assert (world.one(rows.polls, "sh-1")["due_at"] - world.clock.now()).total_seconds() == 60


def test_it_is_asked_about_less_and_less_often(world: World) -> None:
    """A minute, two, four, and never more than an hour apart; after a week no more."""
    world.create()
    world.clock.pass_by(301)
    waits = []
    for _ in range(9):
        polled(world)
        waits.append((world.one(rows.polls, "sh-1")["due_at"] - world.clock.now()).total_seconds())
        world.clock.pass_by(waits[-1])
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    world.clock.pass_by(8 * 86_400)
    polled(world)
    assert world.one(rows.polls, "sh-1") is None
    polled(world)
    assert world.one(rows.polls, "sh-1") is None


@pytest.mark.parametrize("state", ["created", "expired"])
def test_money_that_is_there_is_asked_about_every_half_minute(world: World, state: str) -> None:
    """Whatever the order's time says, and however often it was, so that a late word is heard within the promise of two minutes."""
    world.create()
    with writing(world.engine) as connection:
        connection.execute(update(rows.orders).values(state=state))
    wish_to_ask(world, "sh-1", "transfer")
    waits = []
    for _ in range(5):
        polled(world)
        waits.append((world.one(rows.polls, "sh-1")["due_at"] - world.clock.now()).total_seconds())
        world.clock.pass_by(waits[-1])
    assert waits == [5, 10, 20, 30, 30]
    assert wait_s("transfer", 10_000) == 30


def wish_to_ask(world: World, orderid: str, reason: str, *, since_s: float = 0, **columns: Any) -> None:
    """Have a question due, as whoever has a reason to ask does."""
    now = world.clock.now()
    with writing(world.engine) as connection:
        due_at = now - timedelta(seconds=since_s)
        polls.request_poll(connection, world.source, orderid, reason=reason, due_at=due_at, now=now)
        if columns:
            connection.execute(update(rows.polls).where(rows.polls.c.orderid == orderid).values(**columns))


def test_money_that_is_there_comes_before_what_only_may_be_paid(world: World) -> None:
    """However long the others wait; what was asked about for an hour in vain takes its turn among them."""
    waiting = {"sh-1": ("unpaid", 900), "sh-2": ("transfer", 1), "sh-3": ("transfer", 850), "sh-4": ("unpaid", 800)}
    for orderid, (reason, since_s) in waiting.items():
        a_stored_order(world.engine, orderid, state="created")
        wish_to_ask(world, orderid, reason, since_s=since_s, **({"tries": polls.EAGER} if orderid == "sh-3" else {}))
    polled(world, for_s=4)
    assert asked(world) == ["sh-2", "sh-1", "sh-3", "sh-4"]


def test_a_busy_shop_does_not_keep_its_own_payments_from_being_recovered(world: World) -> None:
    """Whoever makes orders at that account has taken every turn that he may; a question has the one behind it."""
    a_stored_order(world.engine, "sh-1", state="created")
    wish_to_ask(world, "sh-1", "transfer")
    now, ahead = world.clock.now(), creation.TURN_WITHIN
    with writing(world.engine) as connection:
        name = rules.pace_name(world.source)
        while paces.reserve(connection, name, now=now, latest=now + ahead, apart=rules.APART):
            pass
    polled(world)
    assert asked(world) == ["sh-1"]
    assert world.clock.now() - now <= ahead + rules.APART


def test_a_wish_that_comes_while_the_question_is_under_way_stands(world: World) -> None:
    """The answer to an old question puts off no new one, and lets none go: here money came while the provider said that none had."""
    a_stored_order(world.engine, "sh-1", state="created")
    for state in ("created", "expired"):
        wish_to_ask(world, "sh-1", "unpaid", tries=9)
        with writing(world.engine) as connection:
            connection.execute(update(rows.orders).values(state=state))
        world.provider.before = lambda _: wish_to_ask(world, "sh-1", "transfer", since_s=-15)
        polled(world, for_s=1)
        waiting = world.one(rows.polls, "sh-1")
        assert (waiting["reason"], waiting["tries"]) == ("transfer", 0)
        assert waiting["due_at"] <= world.clock.now() + timedelta(seconds=15)


def test_money_that_comes_late_is_asked_about_a_week_from_then(world: World) -> None:
    """However long its order has been asked about before."""
    a_stored_order(world.engine, "sh-1", state="created")
    wish_to_ask(world, "sh-1", "unpaid", created_at=world.clock.now() - polls.LONGEST)
    wish_to_ask(world, "sh-1", "transfer")
    polled(world)
    assert world.one(rows.polls, "sh-1")["tries"] > 0


def test_a_slow_provider_costs_no_other_account_its_turns(world: World) -> None:
    """It answers when the other one was asked about everything."""
    other = FakeProvider()
    beside = replace(world.source, name="beside", base_url=other.url)
    for number in range(3):
        a_stored_order(world.engine, f"be-{number}", source="beside", state="created", updated_at=NOON - GRACE)
    a_stored_order(world.engine, "sh-1", state="created", updated_at=NOON - GRACE)
    all_asked = threading.Event()

    def answer(_: str) -> None:
        if len(other.asked) == 3:
            all_asked.set()

    def wait(_: str) -> None:
        assert all_asked.wait(4)

    other.before, world.provider.before = answer, wait
    sources = {"crossing": world.source, "beside": beside}
    poll(Poller(creator=replace(world.creator, sources=sources), new_id=numbered_ids()), for_s=8)
    other.close()
    assert (len(other.asked), asked(world)) == (3, ["sh-1"])


def test_however_many_providers_are_slow_the_last_one_is_asked(world: World) -> None:
    """All of them at once: none waits for the end of another's round, which is the end of its own."""
    other = FakeProvider()
    names = [f"slow-{number}" for number in range(12)]
    sources = {name: replace(world.source, name=name, appid=name) for name in names}
    sources["beside"] = replace(world.source, name="beside", base_url=other.url)
    for name in sources:
        a_stored_order(world.engine, f"of-{name}", source=name, state="created", updated_at=NOON - GRACE)
    was_asked = threading.Event()
    in_time: list[bool] = []
    other.before = lambda _: was_asked.set()
    world.provider.before = lambda _: in_time.append(was_asked.wait(4))
    poll(Poller(creator=replace(world.creator, sources=sources), new_id=numbered_ids()), for_s=8)
    other.close()
    assert in_time == [True] * len(names)


def test_the_same_word_again_is_no_change(world: World) -> None:
    """`changed_at` moves with the content only, `checked_at` each time."""
    world.create()
    stamps = []
    for paid in ({"status": 0}, {"status": 0}, {"status": 1, "amount": "3.5"}):
        world.provider.paid["sh-1"] = paid
        world.clock.pass_by(301)
        polled(world)
        fact = world.one(rows.provider_facts, "sh-1")
        stamps.append((fact["changed_at"], fact["checked_at"]))
    assert stamps[0][0] == stamps[1][0] < stamps[2][0]
    assert stamps[0][1] < stamps[1][1] < stamps[2][1]


@pytest.mark.parametrize("state", ["succeeded", "failed", "expired", "held"])
def test_an_order_that_is_settled_is_asked_about_no_more(world: World, state: str) -> None:
    """Once more at most, for a poll that was planned before."""
    world.create()
    with writing(world.engine) as connection:
        connection.execute(update(rows.orders).values(state=state))
    world.clock.pass_by(301)
    polled(world)
    world.clock.pass_by(4000)
    polled(world)
    assert len(asked(world)) == 1
    assert world.one(rows.polls, "sh-1") is None


def test_a_registered_order_is_found_without_being_announced(world: World) -> None:
    """Whoever registers or moves orders need not think of polls; what is young, old or settled is left alone."""
    ages = {"young": 10, "due": 400, "old": 8 * 86_400}
    for orderid, age in ages.items():
        a_stored_order(world.engine, orderid, state="created", updated_at=NOON - timedelta(seconds=age))
    a_stored_order(world.engine, "done", updated_at=NOON - timedelta(seconds=400))
    polled(world)
    assert asked(world) == ["due"]


def test_an_unknown_creation_that_the_provider_knows_is_done(world: World) -> None:
    """The order was made, and only the answer was lost."""

    def lose_the_answer(path: str) -> tuple[int, bytes] | None:
        if not path.endswith("TraderRechargeorder"):
            return None
        world.provider.book["sh-1"] = {}
        return BROKEN

    world.provider.before = lose_the_answer
    assert world.create()[1]["state"] == "unknown"
    world.clock.pass_by(6)
    polled(world)
    assert (world.request()["state"], world.order()["state"]) == ("done", "created")
    assert world.order()["provider_order_id"] == "cz-1"
    assert sum(path.endswith("TraderRechargeorder") for _, path, _ in world.provider.asked) == 1


def test_an_unknown_creation_that_the_provider_does_not_know_has_failed(world: World) -> None:
    """But only after a while: a request that is slow may still be on its way in."""
    world.provider.before = lambda path: BROKEN if path.endswith("TraderRechargeorder") else None
    world.create()
    world.clock.pass_by(6)
    polled(world)
    assert world.request()["state"] == "unknown"
    world.clock.pass_by(60)
    polled(world)
    assert (world.request()["state"], world.order()["state"]) == ("refused", "failed")
    assert "no such order" in world.request()["error"]
    assert sum(path.endswith("TraderRechargeorder") for _, path, _ in world.provider.asked) == 1


@pytest.mark.parametrize("answer", [BROKEN, (429, b""), (200, b"[]")], ids=["broken", "busy", "nonsense"])
def test_no_answer_is_no_fact(world: World, answer: tuple[int, bytes]) -> None:
    """It is asked again later, and an unknown creation stays unknown."""
    world.provider.before = lambda _: answer
    with writing(world.engine) as connection:
        connection.execute(rows.creations.delete())
    a_stored_order(world.engine, "sh-9", state="created", updated_at=NOON - timedelta(seconds=400))
    polled(world)
    assert world.one(rows.provider_facts, "sh-9") is None
    assert world.one(rows.polls, "sh-9")["tries"] == 1


def test_creations_and_questions_share_the_pace(world: World) -> None:
    """One request a second for an account, whatever it is for."""
    for number in range(3):
        a_stored_order(world.engine, f"sh-{number}", state="created", updated_at=NOON - timedelta(seconds=400))
    world.create(orderid="new")
    polled(world)
    assert world.clock.slept == [0, 1.1, 1.1, 1.1]


def test_a_round_ends_in_time(world: World) -> None:
    """What is left is the next round's."""
    for number in range(9):
        a_stored_order(world.engine, f"sh-{number}", state="created", updated_at=NOON - timedelta(seconds=400))
    polled(world, for_s=3)
    assert len(asked(world)) == 4
    polled(world, for_s=100)
    assert len(set(asked(world))) == 9


def test_a_far_turn_ends_the_round_of_that_source(world: World) -> None:
    """Another process is at this account."""
    a_stored_order(world.engine, "sh-1", state="created", updated_at=NOON - timedelta(seconds=400))
    with writing(world.engine) as connection:
        name, at = f"{world.source.base_url} {world.source.appid}", world.clock.now()
        paces.reserve(connection, name, now=at, latest=at, apart=timedelta(seconds=5))
    polled(world)
    assert asked(world) == []


def test_a_wish_to_ask_brings_the_question_forward(world: World) -> None:
    """A transfer that is final and was not called back is a reason to ask at once."""
    world.create()
    with writing(world.engine) as connection:
        for later in (3600, 5, 1800):
            due_at = world.clock.now() + timedelta(seconds=later)
            polls.request_poll(connection, world.source, "sh-1", reason="late", due_at=due_at, now=world.clock.now())
    poll_row = world.one(rows.polls, "sh-1")
    assert ((poll_row["due_at"] - world.clock.now()).total_seconds(), poll_row["reason"]) == (5, "late")


def test_two_pollers_never_ask_about_one_order_together(world: World) -> None:
    """Whoever took it has a minute."""
    a_stored_order(world.engine, "sh-1", state="created", updated_at=NOON - timedelta(seconds=400))
    at = world.clock.now()
    with writing(world.engine) as connection:
        polls.enrol(connection, world.source, now=at)
        until = at + timedelta(seconds=60)
        taken = [polls.take(connection, "crossing", now=at, until=until) for _ in range(2)]
    assert [row and row["orderid"] for row in taken] == ["sh-1", None]


def test_an_order_that_awaits_the_providers_word_is_credited_by_it(engine: Engine) -> None:
    """With the provider as a second witness a callback only confirms; the answer credits, once."""
    with a_world(engine, more='evidence = ["signature", "provider"]') as world:
        a_confirming_order(world)
        world.provider.book["sh-1"] = {}
        world.provider.paid["sh-1"] = {"status": 1, "amount": "3"}
        assert polled(world) == 1
        assert (world.order()["state"], world.order()["credited_micros"]) == ("succeeded", 3_000_000)
        assert world.one(rows.polls, "sh-1") is None
        assert events(world) == ["recharge.succeeded"]


def a_confirming_order(world: World, **columns: Any) -> None:
    """An order whose callback was kept, and that waits for the provider."""
    a_stored_order(world.engine, "sh-1", state="confirming", credited_micros=0, **columns)
    with writing(world.engine) as connection:
        connection.execute(
            rows.callbacks.insert().values(
                source="crossing",
                namespace="crossing",
                orderid="sh-1",
                verdict="accepted",
                status="succeeded",
                amount_micros=3_000_000,
                amount_raw="30000",
                unit_micros=100,
                user_ref="1",
                origin="callback",
                flags="",
                headers="{}",
                part="",
                received_at=NOON,
            )
        )


def events(world: World) -> list[str]:
    with reading(world.engine) as connection:
        return list(connection.scalars(select(rows.events.c.type).order_by(rows.events.c.sequence)))


def test_a_source_without_a_query_is_asked_nothing(engine: Engine) -> None:
    """Its orders are not even planned."""
    with a_world(engine, query=False) as world:
        a_stored_order(world.engine, "sh-1", state="created", updated_at=NOON - timedelta(seconds=400))
        polled(world)
        with reading(engine) as connection:
            assert connection.scalar(select(func.count()).select_from(rows.polls)) == 0


def test_a_provider_that_is_away_stops_nothing(world: World) -> None:
    """The order is asked about again later."""

    class Away:
        def exchange(self, *_: object, **__: object) -> Reply:
            return Reply(status=None, error="timeout")

    a_stored_order(world.engine, "sh-1", state="created", updated_at=NOON - timedelta(seconds=400))
    away = replace(world.creator, provider=Away())
    assert poll(Poller(creator=away, new_id=numbered_ids()), for_s=8) == 0
    assert world.one(rows.polls, "sh-1")["tries"] == 1


def test_every_answer_is_kept_that_said_something_else(world: World) -> None:
    """Three times not paid, then nothing that can be read, then paid: three rows, each with how often and until when."""
    world.create()
    world.provider.paid["sh-1"] = {"status": 0, "amount": "3.5", "t": 1_700_000_000}
    for _ in range(3):
        world.clock.pass_by(3_700)
        polled(world)
    world.provider.paid["sh-1"] = {"status": 1, "amount": "3.5", "txid": "ab", "t": 1_700_000_000}
    world.clock.pass_by(3_700)
    polled(world)
    with reading(world.engine) as connection:
        found = provider_answers.of_order(connection, "crossing", "sh-1")
    assert [row["said"] for row in found] == ["answer", "answer"]
    assert [row["times"] for row in found] == [3, 1]
    assert found[0]["first_at"] < found[0]["last_at"] < found[1]["first_at"]
    assert '"status":"succeeded"' in found[1]["content"]


def test_answers_that_go_to_and_fro_are_bounded(engine: Engine) -> None:
    """The newest stay; those of another order are not touched."""
    with writing(engine) as connection:
        provider_answers.heard(connection, "crossing", ("crossing", "other"), "absent", {}, now=NOON)
        for number in range(2 * provider_answers.MOST):
            said = {"reason": f"answer {number}"}
            at = NOON + timedelta(seconds=number)
            provider_answers.heard(connection, "crossing", ("crossing", "sh-1"), "unclear", said, now=at)
        found = provider_answers.of_order(connection, "crossing", "sh-1")
        other = provider_answers.of_order(connection, "crossing", "other")
    assert (len(found), len(other)) == (provider_answers.MOST, 1)
    assert found[-1]["content"] == f'{{"reason":"answer {2 * provider_answers.MOST - 1}"}}'
