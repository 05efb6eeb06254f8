"""Own how a request is answered once, however often it is sent: by its sender's key, for a day.

After draft-ietf-httpapi-idempotency-key-header: 409 while the first is being
answered, 422 for the same key with another request, else the stored answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from relay.errors import Conflict, Unprocessable
from relay.store import idempotency as store
from relay.store.engine import writing

KEPT = timedelta(hours=24)
# No request takes this long: whoever began it is gone, and nobody knows how far it came.
LONGEST = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Repeatable:
    """One request under a key of its sender; `begun` tells it from others under the same key."""

    owner: str
    key: str
    fingerprint: str
    begun: datetime


def begin(engine: Engine, request: Repeatable) -> str | None:
    """Note that a request begins; return the stored answer instead where there is one.

    Raises Conflict while the first is being answered, Unprocessable when the key belongs to another request.
    """
    row = {
        "owner": request.owner,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "started_at": request.begun,
        "expires_at": request.begun + KEPT,
    }
    with writing(engine) as connection:
        if store.add(connection, row):
            return None
        known = store.find(connection, request.owner, request.key)
        if known is None:
            raise _in_flight()
        is_over = known["expires_at"] <= request.begun
        if not is_over and known["fingerprint"] != request.fingerprint:
            raise Unprocessable("this Idempotency-Key was sent with another request", code="idempotency_key_reused")
        is_abandoned = known["answer"] is None and known["started_at"] < request.begun - LONGEST
        if is_over or is_abandoned:
            if store.take_over(connection, row, begun=known["started_at"]):
                return None
            raise _in_flight()
    if known["answer"] is None:
        raise _in_flight()
    return str(known["answer"])


def finish(engine: Engine, request: Repeatable, answer: str | None) -> None:
    """Keep what a request was answered with; with None, as nothing was done, it may be sent anew."""
    with writing(engine) as connection:
        if answer is None:
            store.forget(connection, request.owner, request.key, begun=request.begun)
        else:
            store.keep(connection, request.owner, request.key, begun=request.begun, answer=answer)


def _in_flight() -> Conflict:
    return Conflict("the first request with this Idempotency-Key is being answered", code="idempotency_key_in_flight")
