"""Alarms are raised once, and again only when they were over in between."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from relay.flows import alarms
from relay.flows.alarms import BAD_SIGNATURES, STALE_AFTER, WITHIN
from relay.store import namespaces, sources
from relay.store.engine import reading, writing
from relay.store.rows import events
from tests.builders import NOON, a_source
from tests.fakes import numbered_ids
from tests.rows import a_stored_callback


class Watch:
    """Looks at a database at times of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.new_id = engine, numbered_ids("alarm")
        with writing(engine) as connection:
            namespaces.record(connection, {"crossing": "crossing"}, now=NOON)

    def at(self, moment: Any) -> list[str]:
        """What is new then."""
        return alarms.watch(self.engine, {"crossing": a_source()}, now=moment, new_id=self.new_id)

    def told(self) -> list[Any]:
        """What subscribers are told."""
        with reading(self.engine) as connection:
            return [json.loads(body)["data"] for body in connection.scalars(select(events.c.body))]

    def answer(self, *, is_clear: bool, at: Any = NOON) -> None:
        """The provider answers."""
        with writing(self.engine) as connection:
            sources.note_answer(connection, "crossing", is_clear=is_clear, now=at)


@pytest.fixture
def watch(engine: Engine) -> Watch:
    """A watch over a source that was started."""
    return Watch(engine)


def test_a_provider_that_says_nothing_usable_is_told_once(watch: Watch) -> None:
    """Since its first such answer, after a quarter of an hour; and again when it had answered in between."""
    watch.answer(is_clear=False)
    watch.answer(is_clear=False, at=NOON + timedelta(minutes=10))
    late = NOON + STALE_AFTER + timedelta(seconds=1)
    assert [watch.at(NOON + STALE_AFTER), watch.at(late), watch.at(late)] == [[], ["source_stale:crossing"], []]
    watch.answer(is_clear=True)
    assert watch.at(late) == []
    watch.answer(is_clear=False, at=late)
    assert watch.at(late + 2 * STALE_AFTER) == ["source_stale:crossing"]
    assert [one["since"] for one in watch.told()] == ["2026-11-23T12:00:00.000Z", "2026-11-23T12:15:01.000Z"]


def test_many_wrong_signatures_are_told_once(watch: Watch) -> None:
    """Of one source within ten minutes; a few are no news."""
    for _ in range(BAD_SIGNATURES - 1):
        a_stored_callback(watch.engine)
    assert watch.at(NOON) == []
    a_stored_callback(watch.engine)
    assert [watch.at(NOON), watch.at(NOON)] == [["bad_signatures:crossing"], []]
    assert watch.at(NOON + WITHIN + timedelta(seconds=1)) == []
    (told,) = watch.told()
    assert (told["reason"], told["source"], told["count"]) == ("bad_signatures", "crossing", BAD_SIGNATURES)
