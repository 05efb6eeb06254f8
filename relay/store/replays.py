"""Own replays: which events each goes through, and what becomes of their deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, text, update

from relay.store.bulk import given, with_ids
from relay.store.intake import NEW_DELIVERY, WANTED
from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import replays

_TIME = replays.c.created_at.type
# A replay that few events fit looks through so many at a time, since whoever waits for the feed waits for that.
LOOKED_THROUGH = 20_000


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Store a new replay."""
    connection.execute(insert(replays).values(dict(row)))


def find(
    connection: Connection, replay_id: str, *, creator: str | None = None, lock: bool = False
) -> RowMapping | None:
    """Return a replay, and, where a creator is given, that is theirs; with `lock` nobody else moves it meanwhile."""
    query = select(replays).where(replays.c.id == replay_id, *_visible(creator))
    return connection.execute(query.with_for_update() if lock else query).mappings().first()


def page(connection: Connection, *, creator: str | None, after: Cursor | None, limit: int) -> Page:
    """List replays, newest first."""
    return read_page(connection, select(replays).where(*_visible(creator)), replays.c.id, after=after, limit=limit)


def running(connection: Connection) -> list[RowMapping]:
    """Return the replays that are on their way, oldest first."""
    query = select(replays).where(replays.c.state == "running").order_by(replays.c.id)
    return list(connection.execute(query).mappings())


def change(connection: Connection, replay_id: str, **columns: Any) -> None:
    """Change columns of a replay."""
    connection.execute(update(replays).where(replays.c.id == replay_id).values(**columns))


def following(connection: Connection, replay: Mapping[Any, Any], *, most: int) -> tuple[list[int], int]:
    """Return the sequences of up to `most` next events that a replay goes through, and up to which it has looked for them."""
    end = min(replay["last"], replay["cursor"] + LOOKED_THROUGH)
    found = list(connection.scalars(_FOLLOWING, {**_filter(replay), "last": end, "most": most}))
    return found, found[-1] if len(found) == most else end


def send(connection: Connection, replay: Mapping[Any, Any], sequences: Sequence[int], *, now: datetime) -> int:
    """Make deliveries of these events due; return how many. The caller holds the feed lock."""
    told = {"now": now, "endpoint": replay["endpoint_id"], "owner": replay["owner"]}
    sent = 0
    if replay["which"] != "missing":
        parameters = given(sequences, **told, delivered=int(replay["which"] == "all"))
        sent += connection.execute(_AGAIN.on(connection), parameters).rowcount
    if replay["which"] != "failed":
        sent += connection.execute(_MISSING.on(connection), given(sequences, **told)).rowcount
        connection.execute(_MARK.on(connection), given(sequences))
    return sent


def count(connection: Connection, replay: Mapping[Any, Any]) -> int:
    """Return how many deliveries a whole replay would make due."""
    told = {**_filter(replay), "endpoint": replay["endpoint_id"], "owner": replay["owner"]}
    found = 0
    if replay["which"] != "missing":
        found += connection.scalar(_COUNT_AGAIN, {**told, "delivered": int(replay["which"] == "all")}) or 0
    if replay["which"] != "failed":
        found += connection.scalar(_COUNT_MISSING, told) or 0
    return found


def _visible(creator: str | None) -> list[Any]:
    return [] if creator is None else [replays.c.created_by == creator]


def _filter(replay: Mapping[Any, Any]) -> dict[str, Any]:
    names = ("cursor", "last", "type", "source", "orderid", "scope", "since", "until")
    return {name: replay[name] for name in names}


# The casts tell Postgres what a parameter is that may be null.
_WHICH = """
    e.sequence > :cursor AND e.sequence <= :last AND e.created_at >= :since AND e.created_at < :until
    AND (CAST(:type AS text) IS NULL OR e.type = :type)
    AND (CAST(:source AS text) IS NULL OR e.source = :source)
    AND (CAST(:orderid AS text) IS NULL OR e.orderid = :orderid)
    AND (CAST(:scope AS text) IS NULL OR replace(CAST(:scope AS text), ',' || e.source || ',', '') <> :scope)
"""
_WHOSE = """
    p.deleted_at IS NULL AND (CAST(:endpoint AS text) IS NULL OR p.id = :endpoint)
    AND (CAST(:owner AS text) IS NULL OR p.owner_key_id = :owner)
"""
_ENDED = "(d.state = 'dead' OR d.state = 'delivered' AND :delivered = 1)"
_UNSENT = "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_sequence = e.sequence AND d.endpoint_id = p.id)"
_TIMES = (bindparam("since", type_=_TIME), bindparam("until", type_=_TIME))

_FOLLOWING = text(f"SELECT e.sequence FROM events e WHERE {_WHICH} ORDER BY e.sequence LIMIT :most").bindparams(*_TIMES)
_AGAIN = with_ids(
    f"""
    UPDATE deliveries SET failures = 0, unknowns = 0, due_at = :now, owed_since = :now, finished_at = NULL,
        state = CASE (SELECT p.state FROM endpoints p WHERE p.id = deliveries.endpoint_id)
            WHEN 'enabled' THEN 'pending' ELSE 'paused' END
    WHERE id IN (
        SELECT d.id FROM {{rows}} AS g JOIN deliveries d ON d.event_sequence = g.id AND {_ENDED}
        JOIN endpoints p ON p.id = d.endpoint_id AND {_WHOSE})
    """
)
_MISSING = with_ids(f"{NEW_DELIVERY} AND {_WHOSE} WHERE e.sequence IN (SELECT id FROM {{rows}} AS g) AND {_UNSENT}")
# What is to be told from now on is late from now on; of a delivery that is sent again a trigger says so.
_MARK = with_ids(
    """
    INSERT INTO dirty (namespace, orderid) SELECT e.namespace, e.orderid FROM events e
    WHERE e.sequence IN (SELECT id FROM {rows} AS g) AND e.orderid IS NOT NULL
    """
)
_COUNT_AGAIN = text(
    f"""
    SELECT count(*) FROM events e JOIN deliveries d ON d.event_sequence = e.sequence AND {_ENDED}
    JOIN endpoints p ON p.id = d.endpoint_id AND {_WHOSE} WHERE {_WHICH}
    """
).bindparams(*_TIMES)
_COUNT_MISSING = text(
    f"SELECT count(*) FROM events e JOIN endpoints p ON {WANTED} AND {_WHOSE} WHERE {_WHICH} AND {_UNSENT}"
).bindparams(*_TIMES)
