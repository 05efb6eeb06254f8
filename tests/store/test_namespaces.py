"""What names a source, or an order by its namespace, goes along when these move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select

from relay.store import asked_acts, intake, keys, namespaces
from relay.store.engine import FEED_LOCK, reading, writing
from relay.store.rows import api_keys, deliveries, endpoints, replays
from tests.builders import NOON
from tests.rows import a_key, add, an_endpoint, an_event


def a_replay(engine: Engine, number: int, scope: str | None) -> None:
    """Store a replay that is on its way."""
    span = {"since": NOON, "until": NOON + timedelta(days=1), "cursor": 0, "last": 9}
    made = {"which": "failed", "rate": 1, "created_by": "key_1", "created_at": NOON, "moved_at": NOON}
    add(engine, replays, id=f"rp_{number}", scope=scope, **span, **made)


def a_wish(engine: Engine, subject: str, orderid: str | None) -> str:
    """Store what one person has asked for; return its id."""
    asked: dict[str, Any] = {
        "source": "crossing",
        "act": "credit",
        "reason": "seen",
        "asked_by": "ada",
        "asked_at": NOON,
    }
    with writing(engine) as connection:
        asked_acts.ask(connection, {"id": subject, "subject": subject, "orderid": orderid, "state": "asked", **asked})
    return subject


def rename(engine: Engine) -> None:
    with writing(engine, lock=FEED_LOCK) as connection:
        namespaces.rename_source(connection, "crossing", "tron")


def test_filters_and_scopes_name_the_source_as_it_is_called_now(engine: Engine) -> None:
    """A subscriber that names its sources would be told nothing more, and a key that is bound to them would open nothing."""
    for listed in (",crossing,", ",crossing,v2,", ",crossing-2,", ",crossing,tron,", None):
        an_endpoint(engine, sources=listed)
    for bound in ({"crossing"}, {"crossing", "v2"}, {"crossing-2"}, None):
        a_key(engine, "reader", sources=bound)
    a_replay(engine, 1, ",crossing,")
    rename(engine)
    with reading(engine) as connection:
        told = set(connection.scalars(select(endpoints.c.sources)))
        assert told == {",tron,", ",tron,v2,", ",crossing-2,", None}
        assert set(connection.scalars(select(api_keys.c.sources))) == {"tron", "tron,v2", "crossing-2", None}
        assert connection.scalar(select(replays.c.scope)) == ",tron,"
        bound_to = [keys.actor_by_hash(connection, one) for one in connection.scalars(select(api_keys.c.hash))]
        assert sum(actor is not None and actor.reaches("tron") for actor in bound_to) == 3


def test_a_subscriber_of_the_former_source_is_told_of_the_new_one(engine: Engine) -> None:
    """The delivery is made where the event is written: one that is not made then never is."""
    an_endpoint(engine, sources=",crossing,")
    rename(engine)
    an_event(engine, 1, source="tron")
    with writing(engine) as connection:
        connection.execute(intake._FAN_OUT, {"first": 1, "last": 1, "now": NOON})
    with reading(engine) as connection:
        assert len(connection.execute(select(deliveries.c.id)).all()) == 1


def test_what_was_asked_for_is_found_under_its_new_name(engine: Engine) -> None:
    """It waits for a second person; asked for once more, it would wait twice."""
    order, brake, other = (
        a_wish(engine, *one)
        for one in (("crossing/sh-1", "sh-1"), ("brake:crossing", None), ("transfer:ethereum/0xab/1", "auto-1"))
    )
    with writing(engine, lock=FEED_LOCK) as connection:
        namespaces.move(connection, "crossing", "shop")
    rename(engine)
    with reading(engine) as connection:
        for subject, wish in (("shop/sh-1", order), ("brake:tron", brake), (other, other)):
            found = asked_acts.open_one(connection, subject)
            assert found is not None
            assert found["id"] == wish
