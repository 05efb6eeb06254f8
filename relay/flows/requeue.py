"""Own the second net under deliveries: what a vanished process left open is taken back, and the deliverers are woken."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from relay.flows.outcomes import NewId, reclaim
from relay.ports import Doorbell


def requeue(engine: Engine, bell: Doorbell, *, now: datetime, new_id: NewId) -> int:
    """Take back attempts without an outcome whose lease has ended, and ring; return how many."""
    count = reclaim(engine, now=now, new_id=new_id)
    if count:
        bell.ring()
    return count
