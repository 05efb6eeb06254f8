"""Own what is kept of runs: where the sources stood, what was found, and whether it counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from relay.core.events import rfc3339
from relay.store.paging import Page
from relay.store.rows import breaks, callbacks, chains, events, provider_facts, runs


def cut(connection: Connection) -> dict[str, Any]:
    """Return where every source stands: newest callback, provider's word and event, and the last final block of each chain with its hash."""
    read = connection.execute(select(chains.c.name, chains.c.final_number, chains.c.final_hash).order_by(chains.c.name))
    heard = connection.scalar(select(func.max(provider_facts.c.changed_at, type_=provider_facts.c.changed_at.type)))
    return {
        "callback": connection.scalar(select(func.max(callbacks.c.id))) or 0,
        "provider": None if heard is None else rfc3339(heard, timespec="microseconds"),
        "event": connection.scalar(select(func.max(events.c.sequence))) or 0,
        "chains": {row.name: {"block": row.final_number, "hash": row.final_hash} for row in read},
    }


def open_by_kind(connection: Connection) -> dict[str, dict[str, int]]:
    """Return how many breaks of each kind are open, and their micros."""
    query = select(breaks.c.kind, func.count().label("count"), func.sum(breaks.c.amount_micros).label("micros"))
    rows = connection.execute(query.where(breaks.c.state == "open").group_by(breaks.c.kind).order_by(breaks.c.kind))
    return {row.kind: {"count": row[1], "micros": int(row.micros or 0)} for row in rows}


def last(connection: Connection, kind: str = "incremental") -> RowMapping | None:
    """Return the newest run of a kind."""
    query = select(runs).where(runs.c.kind == kind).order_by(runs.c.id.desc())
    return connection.execute(query.limit(1)).mappings().first()


def complete_since(connection: Connection, moment: datetime) -> bool | None:
    """Tell whether a run has seen everything at a moment or later; None while there was no run at all."""
    if connection.scalar(select(runs.c.id).limit(1)) is None:
        return None
    seen = last_complete(connection)
    return seen is not None and seen >= moment


def last_complete(connection: Connection) -> datetime | None:
    """Return when a run last saw everything."""
    query = select(runs.c.last_checked).where(runs.c.state == "complete").order_by(runs.c.id.desc())
    seen: datetime | None = connection.scalar(query.limit(1))
    return seen


def touch(connection: Connection, run_id: int, *, now: datetime) -> None:
    """Note that a later look found nothing new."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(last_checked=now))


def add(connection: Connection, **columns: Any) -> int:
    """Write a run that has ended; return its id."""
    return int(connection.execute(insert(runs).values(columns)).inserted_primary_key[0])  # type: ignore[index]  # an insert of one row has one


def find(connection: Connection, run_id: int) -> RowMapping | None:
    """Return one run."""
    return connection.execute(select(runs).where(runs.c.id == run_id)).mappings().first()


def page(
    connection: Connection,
    *,
    after: int | None,
    limit: int,
    within: tuple[datetime, datetime] | None = None,
    kind: str | None = None,
) -> Page:
    """List runs, the newest first; with `within` those that ended in that span, its end excluded."""
    query = select(runs).order_by(runs.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(runs.c.id < after)
    if within is not None:
        query = query.where(runs.c.finished_at >= within[0], runs.c.finished_at < within[1])
    if kind is not None:
        query = query.where(runs.c.kind == kind)
    rows = list(connection.execute(query).mappings())
    return Page(rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None)


def counts(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Return how many runs ended in a span of time, by state."""
    query = select(runs.c.state, func.count()).where(runs.c.finished_at >= start, runs.c.finished_at < end)
    return {row[0]: int(row[1]) for row in connection.execute(query.group_by(runs.c.state))}
