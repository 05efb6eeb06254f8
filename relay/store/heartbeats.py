"""Own the signs of life that workers and clocks leave."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, text

from relay.store.rows import heartbeats

# A process leaves a sign of life several times in this span; when it is over, missing them is no coincidence.
SILENT_AFTER = timedelta(seconds=90)


def beat(
    connection: Connection, *, kind: str, host: str, pid: int, version: str, started_at: datetime, now: datetime
) -> None:
    """Note that a process of a kind (`worker`, `clock`) is alive; each process has one row."""
    given = {
        "id": f"{kind}:{host}:{pid}",
        "kind": kind,
        "host": host,
        "pid": pid,
        "version": version,
        "started": started_at,
        "now": now,
    }
    connection.execute(_BEAT, given)


def leave(connection: Connection, *, kind: str, host: str, pid: int, now: datetime) -> None:
    """Forget a process that ends as it should, while others of its kind go on; of the last one it is kept when it was seen.

    The caller holds LEAVING_LOCK: of two that leave together, one is the last.
    """
    others = select(heartbeats.c.id).where(heartbeats.c.kind == kind, heartbeats.c.seen_at >= now - SILENT_AFTER)
    own = f"{kind}:{host}:{pid}"
    goes_on = others.where(heartbeats.c.id != own).exists()
    connection.execute(delete(heartbeats).where(heartbeats.c.id == own, goes_on))


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget processes that were last alive before a moment; return how many."""
    return connection.execute(delete(heartbeats).where(heartbeats.c.seen_at < before)).rowcount


def listed(connection: Connection) -> list[Row[Any]]:
    """Return the processes of which a sign of life is kept, those seen last first."""
    query = select(heartbeats).order_by(heartbeats.c.kind.desc(), heartbeats.c.seen_at.desc())
    return list(connection.execute(query))


def last_seen(connection: Connection) -> dict[str, datetime]:
    """Return when a process of each kind (`worker`, `clock`) was last alive; a kind that never was is absent."""
    latest = func.max(heartbeats.c.seen_at, type_=heartbeats.c.seen_at.type)
    return {
        row.kind: row.seen
        for row in connection.execute(select(heartbeats.c.kind, latest.label("seen")).group_by(heartbeats.c.kind))
    }


_TIME = heartbeats.c.seen_at.type
# A pid comes again, after a restart of the machine above all: the row is then the new process's.
_BEAT = text(
    """
    INSERT INTO heartbeats (id, kind, host, pid, version, started_at, seen_at)
    VALUES (:id, :kind, :host, :pid, :version, :started, :now)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, started_at = excluded.started_at, seen_at = excluded.seen_at
    """
).bindparams(bindparam("started", type_=_TIME), bindparam("now", type_=_TIME))
