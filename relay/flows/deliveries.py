"""Own the retry of a delivery by a person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.errors import Conflict, NotFound
from relay.store import audit
from relay.store import deliveries as store
from relay.store.engine import writing

_WHY_NOT = {
    "delivered": "it was delivered",
    "sending": "it is being sent",
    "paused": "its endpoint is not enabled; enabling it sends what waits",
    "held": "its order is held; a person has to release it",
}


def retry(engine: Engine, delivery_id: int, *, actor: Actor, now: datetime) -> RowMapping:
    """Make a pending or dead delivery due now, with its whole schedule before it; the caller rings afterwards.

    Raises Conflict, saying why, where that would be wrong.
    """
    owner = None if actor.changes_all else actor.id
    with writing(engine) as connection:
        row = store.find(connection, delivery_id, owner=owner)
        if row is None:
            raise NotFound("no such delivery")
        if row["state"] in _WHY_NOT:
            raise Conflict(_WHY_NOT[row["state"]])
        if row["endpoint_deleted_at"] is not None or row["endpoint_state"] != "enabled":
            raise Conflict("its endpoint is not enabled")
        if not store.restart(connection, delivery_id, was=row["state"], now=now):
            raise Conflict("it has just moved on; look again")
        audit.append(connection, actor=actor.id, act="delivery.retry", subject=str(delivery_id), now=now)
        found = store.find(connection, delivery_id)
    if found is None:
        raise NotFound("no such delivery")
    return found
