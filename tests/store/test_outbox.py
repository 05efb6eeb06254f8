"""A claim is its holder's until its lease ends, and what is given back is only one's own."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from relay.flows.outcomes import reclaim
from relay.store import outbox
from relay.store.engine import CLAIM_LOCK, reading, writing
from relay.store.outbox import Claim
from relay.store.rows import attempts, deliveries
from tests.builders import NOON
from tests.fakes import numbered_ids
from tests.rows import a_delivery, an_endpoint, an_event


def claim(engine: Engine, owner: str, now: datetime) -> list[Claim]:
    with writing(engine, lock=CLAIM_LOCK) as connection:
        return outbox.claim(connection, owner=owner, room=5, now=now, lease_s=45)


def give_back(engine: Engine, claims: list[Claim]) -> None:
    with writing(engine) as connection:
        outbox.give_back(connection, claims)


def stood(engine: Engine) -> tuple[object, ...]:
    """The delivery, and the outcomes of its attempts by their numbers."""
    columns = (deliveries.c.state, deliveries.c.attempts, deliveries.c.lease_owner)
    with reading(engine) as connection:
        (row,) = connection.execute(select(*columns)).all()
        return (*row, [tuple(one) for one in connection.execute(select(attempts.c.number, attempts.c.outcome))])


def test_what_was_never_sent_is_given_back_whole(engine: Engine) -> None:
    """The next one to claim it opens its first attempt."""
    an_event(engine, 1)
    a_delivery(engine, 1, an_endpoint(engine))
    give_back(engine, claim(engine, "one", NOON))
    assert stood(engine) == ("pending", 0, None, [])
    assert [one.number for one in claim(engine, "other", NOON)] == [1]


def test_what_another_has_claimed_since_is_not_given_back(engine: Engine) -> None:
    """It is on its way: a third would send it beside the second, and the attempt of the second would be lost."""
    an_event(engine, 1)
    a_delivery(engine, 1, an_endpoint(engine))
    asleep = claim(engine, "one", NOON)
    reclaim(engine, now=NOON + timedelta(minutes=1), new_id=numbered_ids())
    later = NOON + timedelta(minutes=10)
    assert [one.number for one in claim(engine, "other", later)] == [2]
    give_back(engine, asleep)
    assert stood(engine) == ("sending", 2, "other", [(1, "unknown"), (2, None)])
    assert claim(engine, "third", later) == []
