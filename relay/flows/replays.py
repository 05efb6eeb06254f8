"""Own replays: events are sent again under their first ids, with their first bytes, a page at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.actors import Actor
from relay.core.ids import time_ordered_id
from relay.errors import Conflict, NotFound, Unprocessable
from relay.ports import Doorbell
from relay.store import audit, endpoints, events
from relay.store import replays as store
from relay.store.engine import FEED_LOCK, reading, writing

log = logging.getLogger(__name__)

# Whoever waits for the feed waits no longer than for a batch of callbacks.
PAGE = 500
# How often in a row a replay takes the feed's lock, whether it finds something to send or not.
LOOKS = 50
# A replay that nobody moved for long does not make up for it at once.
LONGEST = timedelta(seconds=10)
_EVER = {"since": datetime(1970, 1, 1, tzinfo=UTC), "until": datetime(9999, 1, 1, tzinfo=UTC)}


def plan(engine: Engine, wishes: Mapping[str, Any], *, actor: Actor, random: bytes, now: datetime) -> dict[str, Any]:
    """Return the row of a replay; `wishes` may hold event, endpoint_id, type, source, orderid, since, until, which, rate.

    Raises NotFound for an event or endpoint that the actor does not reach, Unprocessable for a time that ends before it begins.
    """
    asked = {name: value for name, value in wishes.items() if value is not None}
    event_id = asked.pop("event", None)
    owner = _owner(actor)
    with reading(engine) as connection:
        first, last = 1, events.newest(connection)
        if event_id is not None:
            event = events.find(connection, event_id)
            if event is None or not actor.reaches(event["source"]):
                raise NotFound("no such event")
            first = last = event["sequence"]
        if "endpoint_id" in asked and endpoints.find(connection, asked["endpoint_id"], owner=owner) is None:
            raise NotFound("no such endpoint")
    row = _row(asked, first, last, actor=actor, random=random, now=now)
    if row["until"] <= row["since"]:
        raise Unprocessable("is not after since", pointer="/until")
    return row


def fill(
    connection: Connection, endpoint_id: str, since: datetime, *, actor: Actor, random: bytes, now: datetime
) -> None:
    """Store a replay of what a new endpoint has missed since a moment; the caller holds the feed lock, the job moves it on."""
    wishes = {"endpoint_id": endpoint_id, "since": since, "which": "missing"}
    row = _row(wishes, 1, events.newest(connection), actor=actor, random=random, now=now)
    store.add(connection, row)
    audit.append(connection, actor=actor.id, act="replay.start", subject=row["id"], now=now, detail=_told(row))


def _row(
    asked: Mapping[str, Any], first: int, last: int, *, actor: Actor, random: bytes, now: datetime
) -> dict[str, Any]:
    nothing = dict.fromkeys(("endpoint_id", "type", "source", "orderid"))
    return {
        **nothing,
        **_EVER,
        "which": "failed",
        "rate": 100,
        **asked,
        "id": time_ordered_id("rpl", now, random),
        "created_by": actor.id,
        "owner": _owner(actor),
        "scope": None if actor.sources is None else f",{','.join(sorted(actor.sources))},",
        "state": "running",
        "cursor": first - 1,
        "last": last,
        "sent": 0,
        "created_at": now,
        "moved_at": now,
        "finished_at": None,
    }


def count(engine: Engine, replay: Mapping[str, Any]) -> int:
    """Return how many deliveries a planned replay would send."""
    with reading(engine) as connection:
        return store.count(connection, replay)


def start(engine: Engine, replay: Mapping[str, Any], *, actor: Actor, now: datetime) -> RowMapping:
    """Store a planned replay and make its first second of events due; the caller rings afterwards."""
    with writing(engine) as connection:
        store.add(connection, replay)
        audit.append(
            connection, actor=actor.id, act="replay.start", subject=replay["id"], now=now, detail=_told(replay)
        )
    _advance(engine, replay["id"], most=min(replay["rate"], PAGE), now=now)
    with reading(engine) as connection:
        return _found(connection, replay["id"])


def _told(replay: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit keeps of a replay; what is not JSON is in its row."""
    return {name: value for name, value in replay.items() if not isinstance(value, datetime)}


def _owner(actor: Actor) -> str | None:
    return None if actor.changes_all else actor.id


def cancel(engine: Engine, replay_id: str, *, actor: Actor, now: datetime) -> RowMapping:
    """End a replay; what was made due is sent all the same."""
    with writing(engine) as connection:
        row = _found(connection, replay_id, creator=None if actor.changes_all else actor.id, lock=True)
        if row["state"] != "running":
            raise Conflict(f"the replay is {row['state']}")
        store.change(connection, replay_id, state="cancelled", finished_at=now)
        audit.append(connection, actor=actor.id, act="replay.cancel", subject=replay_id, now=now)
        return _found(connection, replay_id)


def proceed(engine: Engine, bell: Doorbell, *, now: datetime) -> int:
    """Move every running replay on by as much as its rate allows since it was moved; return how many deliveries that made due."""
    with reading(engine) as connection:
        waiting = store.running(connection)
    sent = 0
    for replay in waiting:
        allowed, looks = int(replay["rate"] * min(now - replay["moved_at"], LONGEST).total_seconds()), LOOKS
        while allowed > 0 and looks and (moved := _advance(engine, replay["id"], most=min(allowed, PAGE), now=now)):
            sent += moved.sent
            allowed, looks = allowed - moved.events, looks - 1
    if sent:
        bell.ring()
        log.info("replays_moved", extra={"deliveries": sent})
    return sent


@dataclass(frozen=True, slots=True)
class _Moved:
    """How many events a replay went through, and how many deliveries that made due."""

    events: int
    sent: int


def _advance(engine: Engine, replay_id: str, *, most: int, now: datetime) -> _Moved | None:
    """Go through the next events; None when there is nothing more to do."""
    with writing(engine, lock=FEED_LOCK) as connection:
        replay = store.find(connection, replay_id, lock=True)
        if replay is None or replay["state"] != "running":
            return None
        sequences, cursor = store.following(connection, replay, most=most)
        sent = store.send(connection, replay, sequences, now=now) if sequences else 0
        is_over = cursor >= replay["last"]
        store.change(
            connection,
            replay_id,
            cursor=cursor,
            sent=replay["sent"] + sent,
            moved_at=now,
            state="done" if is_over else "running",
            finished_at=now if is_over else None,
        )
        return _Moved(len(sequences), sent)


def _found(connection: Connection, replay_id: str, *, creator: str | None = None, lock: bool = False) -> RowMapping:
    row = store.find(connection, replay_id, creator=creator, lock=lock)
    if row is None:
        raise NotFound("no such replay")
    return row
