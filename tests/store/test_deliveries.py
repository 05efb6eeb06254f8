"""What the console asks of deliveries, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from relay.store import deliveries, figures, rows
from relay.store.engine import make_engine, reading
from tests.builders import NOON
from tests.rows import a_delivery, add, an_endpoint, an_event


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Three events on their way to two endpoints, one of which was deleted."""
    engine = make_engine(database_url)
    an_endpoint(engine, id="ep_1")
    an_endpoint(engine, id="ep_2", deleted_at=NOON)
    for number in (1, 2, 3):
        an_event(engine, number)
        later = NOON + timedelta(hours=number)
        a_delivery(engine, number, "ep_1", id=number, state="dead", last_status=500, finished_at=later)
    a_delivery(engine, 1, "ep_2", id=9, state="dead", last_error="endpoint_deleted", finished_at=NOON)
    yield engine
    engine.dispose()


def test_dead_letters_are_told_by_endpoint_and_answer(engine: Engine) -> None:
    """The most first; only those of endpoints that still exist can be sent again."""
    with reading(engine) as connection:
        found = deliveries.dead_by_answer(connection)
        assert figures.dead(connection) == 3
    told = [(row["endpoint_id"], row["last_status"], row["last_error"], row["count"], row["last"]) for row in found]
    assert told == [
        ("ep_1", 500, None, 3, NOON + timedelta(hours=3)),
        ("ep_2", None, "endpoint_deleted", 1, NOON),
    ]


def test_attempts_are_those_of_the_newest_deliveries(engine: Engine) -> None:
    """So many of each endpoint, however many there were."""
    for delivery in (1, 2, 3, 9):
        add(
            engine,
            rows.attempts,
            delivery_id=delivery,
            number=1,
            started_at=NOON,
            outcome="failed",
            latency_ms=delivery,
        )
    with reading(engine) as connection:
        found = deliveries.recent_attempts(connection, ["ep_1", "ep_2"], most=2)
        assert deliveries.recent_attempts(connection, [], most=2) == []
        assert [deliveries.count_of(connection, "ep_1", most=most) for most in (2, 9)] == [2, 3]
    assert sorted((row["endpoint_id"], row["latency_ms"]) for row in found) == [("ep_1", 2), ("ep_1", 3), ("ep_2", 9)]


def test_what_has_not_arrived_is_listed(engine: Engine) -> None:
    """Whatever it waits for."""
    a_delivery(engine, 2, "ep_2", id=10, state="delivered")
    a_delivery(engine, 3, "ep_2", id=11, state="held")
    with reading(engine) as connection:
        page = deliveries.page(connection, owner=None, after=None, limit=3, undelivered=True)
    assert ([row["id"] for row in page.rows], page.next) == ([11, 9, 3], 3)
