"""What a vanished process left open comes back, and the deliverers hear of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from relay.flows.requeue import requeue
from relay.flows.retention import FIRINGS_KEPT, HEARTBEATS_KEPT, retain
from relay.store import firings, heartbeats, outbox
from relay.store.engine import CLAIM_LOCK, reading, writing
from relay.store.rows import deliveries
from relay.store.rows import firings as firings_table
from relay.store.rows import heartbeats as heartbeats_table
from tests.builders import NOON
from tests.fakes import FakeMemory, numbered_ids
from tests.flows.test_delivery import announce, now, subscribe


@pytest.mark.parametrize(("after_s", "state", "rings"), [(44, "sending", 0), (46, "pending", 1)])
def test_an_ended_lease_goes_back_and_rings(engine: Engine, after_s: float, state: str, rings: int) -> None:
    """Not before its end, and without a ring when there is nothing to do."""
    subscribe(engine, "shop")
    announce(engine)
    with writing(engine, lock=CLAIM_LOCK) as connection:
        began = now()
        assert outbox.claim(connection, owner="gone", room=10, now=began, lease_s=45)
    bell = FakeMemory()
    requeue(engine, bell, now=began + timedelta(seconds=after_s), new_id=numbered_ids())
    with reading(engine) as connection:
        assert connection.scalar(select(deliveries.c.state)) == state
    assert bell.rings == rings


def test_retention_forgets_old_firings_and_gone_processes(engine: Engine) -> None:
    """What is younger, and the last firing of a job, stays."""
    with writing(engine) as connection:
        for age in (timedelta(), FIRINGS_KEPT + timedelta(seconds=1)):
            firings.record(connection, "jobs.requeue.run", NOON - age, fence=1, now=NOON - age)
        for pid, age in enumerate((timedelta(), HEARTBEATS_KEPT + timedelta(seconds=1))):
            then = NOON - age
            heartbeats.beat(connection, kind="worker", host="h", pid=pid, version="1", started_at=then, now=then)
    retain(engine, now=NOON)
    with reading(engine) as connection:
        assert connection.scalars(select(firings_table.c.scheduled_for)).all() == [NOON]
        assert connection.scalars(select(heartbeats_table.c.pid)).all() == [0]
