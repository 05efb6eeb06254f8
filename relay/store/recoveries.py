"""Own what was found to be paid without a callback, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select, tuple_, update

from relay.core.statement import Sum
from relay.store.bulk import given, types_of, with_rows
from relay.store.paging import Page, read_cursor, spell_cursor
from relay.store.rows import recoveries

Key = tuple[str, str]
_COLUMNS = tuple(recoveries.c.keys())
_IS_STOPPED = recoveries.c.state == "stopped"
_PAGED = (recoveries.c.applied_at, recoveries.c.namespace, recoveries.c.orderid)
_LARGEST = (-recoveries.c.amount_micros, recoveries.c.namespace, recoveries.c.orderid)


def propose(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note payments that are to be recovered; of one that still waits, what the witnesses say now."""
    if rows:
        connection.execute(_PROPOSE.on(connection), given(rows))


def withdraw(connection: Connection, keys: Collection[Key]) -> None:
    """Give up what waits to be recovered and is not to be any more: it was paid, or a witness has changed its mind."""
    if keys:
        rows = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in sorted(keys)]
        connection.execute(_WITHDRAW.on(connection), given(rows))


def waiting(connection: Connection, state: str, source: str | None = None) -> list[RowMapping]:
    """Return recoveries that are `due` or `stopped`, the largest first."""
    query = select(recoveries).where(recoveries.c.state == state)
    if source is not None:
        query = query.where(recoveries.c.source == source)
    return list(connection.execute(query.order_by(recoveries.c.amount_micros.desc(), recoveries.c.orderid)).mappings())


def stopped(connection: Connection) -> dict[str, Sum]:
    """Return how much a brake has stopped, by source."""
    query = select(recoveries.c.source, func.count(), func.sum(recoveries.c.amount_micros)).where(_IS_STOPPED)
    rows = connection.execute(query.group_by(recoveries.c.source).order_by(recoveries.c.source))
    return {source: Sum(count, int(micros)) for source, count, micros in rows}


def stopped_page(connection: Connection, *, limit: int, source: str | None = None, after: str | None = None) -> Page:
    """Return what brakes have stopped, the largest first. Unprocessable for a cursor that is none."""
    query = select(recoveries).where(_IS_STOPPED)
    if source is not None:
        query = query.where(recoveries.c.source == source)
    if after is not None:
        query = query.where(tuple_(*_LARGEST) > tuple_(*read_cursor(after, int, str, str)))
    rows = list(connection.execute(query.order_by(*_LARGEST).limit(limit + 1)).mappings())
    last = rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else spell_cursor([-last["amount_micros"], last["namespace"], last["orderid"]])
    return Page(rows[:limit], following)


def find(connection: Connection, key: Key, state: str) -> RowMapping | None:
    """Return the recovery of an order when it stands in that state."""
    mine = (recoveries.c.namespace == key[0], recoveries.c.orderid == key[1], recoveries.c.state == state)
    return connection.execute(select(recoveries).where(*mine)).mappings().first()


def applied_since(connection: Connection, source: str, since: datetime) -> tuple[int, int]:
    """Return how many of a source's payments were recovered by themselves since a moment, and their micros."""
    # What a person released does not count: it was looked at.
    mine = (recoveries.c.source == source, recoveries.c.applied_at > since, recoveries.c.decided_by.is_(None))
    count, micros = connection.execute(select(func.count(), func.sum(recoveries.c.amount_micros)).where(*mine)).one()
    return count, int(micros or 0)


def page(connection: Connection, *, since: datetime, until: datetime, after: str | None, limit: int) -> Page:
    """Return what was credited in a span though its callback never came, the latest first. Unprocessable for a cursor that is none."""
    query = select(recoveries).where(*_applied(since, until))
    if after is not None:
        query = query.where(tuple_(*_PAGED) < tuple_(*read_cursor(after, datetime, str, str)))
    ordered = query.order_by(*(column.desc() for column in _PAGED)).limit(limit + 1)
    rows = list(connection.execute(ordered).mappings())
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], None if last is None else spell_cursor([last[column.name] for column in _PAGED]))


def sum_of(connection: Connection, *, since: datetime, until: datetime) -> Sum:
    """Return how much that was."""
    query = select(func.count(), func.sum(recoveries.c.amount_micros)).where(*_applied(since, until))
    count, micros = connection.execute(query).one()
    return Sum(count, int(micros or 0))


def _applied(since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    at = recoveries.c.applied_at
    return recoveries.c.state == "applied", at >= since, at < until


def move(connection: Connection, keys: Collection[Key], state: str, *, since: str, **columns: Any) -> int:
    """Move recoveries from the state `since` to another; return how many still stood there."""
    mine = (tuple_(recoveries.c.namespace, recoveries.c.orderid).in_(sorted(keys)), recoveries.c.state == since)
    return connection.execute(update(recoveries).where(*mine).values(state=state, **columns)).rowcount


_PROPOSE = with_rows(
    f"""
    INSERT INTO recoveries ({", ".join(_COLUMNS)}) SELECT {", ".join(_COLUMNS)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (namespace, orderid) DO UPDATE SET amount_micros = excluded.amount_micros, evidence = excluded.evidence,
        tx_hash = excluded.tx_hash, occurred_at = excluded.occurred_at
    WHERE recoveries.state IN ('due', 'stopped') AND recoveries.evidence <> excluded.evidence
    """,
    types_of(recoveries, _COLUMNS),
)
# What was said at the door and not noted yet is no wish any more: it is noted by saying it again.
_WITHDRAW = with_rows(
    """
    DELETE FROM recoveries WHERE state IN ('due', 'stopped')
    AND (namespace, orderid) IN (SELECT g.namespace, g.orderid FROM {rows} AS g)
    AND NOT EXISTS (SELECT 1 FROM callbacks c WHERE c.namespace = recoveries.namespace
        AND c.orderid = recoveries.orderid AND c.origin = 'reconciler')
    """,
    types_of(recoveries, ("namespace", "orderid")),
)
