"""The pace of an account, and the one sender of a request, raced on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import Engine

from relay.store import creations, paces
from relay.store.engine import make_engine, writing
from tests.builders import NOON

SECOND = timedelta(seconds=1)


def reserved(engine: Engine, *, now: datetime = NOON, within: timedelta = timedelta(minutes=1)) -> datetime | None:
    with writing(engine) as connection:
        return paces.reserve(connection, "account", now=now, latest=now + within, apart=SECOND)


def test_each_caller_gets_a_moment_of_its_own(database_url: str) -> None:
    """Whoever asks together is spread over the seconds to come; each has connections of its own, as a process has."""
    engines = [make_engine(database_url) for _ in range(4)]
    with ThreadPoolExecutor(8) as callers:
        slots = list(callers.map(lambda number: reserved(engines[number % 4]), range(16)))
    for engine in engines:
        engine.dispose()
    assert sorted(slot for slot in slots if slot) == [NOON + number * SECOND for number in range(16)]


def test_a_rest_is_not_saved_up(engine: Engine) -> None:
    """After an idle hour the next two are a second apart all the same."""
    reserved(engine)
    later = NOON + timedelta(hours=1)
    assert [reserved(engine, now=later), reserved(engine, now=later)] == [later, later + SECOND]


def test_a_moment_that_is_too_far_is_not_taken(engine: Engine) -> None:
    """Whoever does not wait for it leaves it to others."""
    assert [reserved(engine, within=SECOND) for _ in range(4)] == [NOON, NOON + SECOND, None, None]
    assert reserved(engine) == NOON + 2 * SECOND


def test_a_request_has_one_sender(database_url: str) -> None:
    """However many take it up together."""
    engines = [make_engine(database_url) for _ in range(4)]
    with writing(engines[0]) as connection:
        number = creations.add(
            connection, ("crossing", "sh-1"), source="crossing", call="recharge", fields="{}", due_at=NOON, now=NOON
        )

    def take(engine: Engine) -> bool:
        with writing(engine) as connection:
            return creations.take(connection, number, now=NOON, due_at=NOON + SECOND)

    with ThreadPoolExecutor(8) as senders:
        taken = list(senders.map(take, engines * 4))
    for engine in engines:
        engine.dispose()
    assert sorted(taken) == [False] * 15 + [True]
