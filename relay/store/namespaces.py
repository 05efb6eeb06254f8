"""Own the memory of which namespace each source had at its first start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, literal, select, text, update

from relay.core.orders import Finding
from relay.core.sources import Source
from relay.store.engine import is_sqlite
from relay.store.rows import api_keys, asked_acts, breaks, endpoints, orders, replays, source_states
from relay.store.tables.base import metadata

# Where several sources are named in one text, between commas.
_LISTS = (endpoints.c.sources, api_keys.c.sources, replays.c.scope)


def recorded(connection: Connection) -> dict[str, str]:
    """Return the namespace of every source that was ever started, by name."""
    rows = connection.execute(select(source_states.c.name, source_states.c.namespace))
    return {row.name: row.namespace for row in rows}


def known_namespaces(connection: Connection, sources: Mapping[str, Source]) -> set[str]:
    """Return all namespaces that ever had orders: a source that is configured no longer has left some."""
    return {*recorded(connection).values(), *(source.namespace for source in sources.values())}


def record(connection: Connection, namespaces: Mapping[str, str], *, now: datetime) -> None:
    """Record sources by name; those that are recorded stay as they are."""
    for name, namespace in namespaces.items():
        connection.execute(_RECORD, {"name": name, "namespace": namespace, "now": now})


def histories(connection: Connection, sources: Collection[str]) -> set[tuple[str, str]]:
    """Return (source, appid) of the orders of these sources. This reads all orders: ask only about the few that went away."""
    if not sources:
        return set()
    query = select(orders.c.source, orders.c.appid).distinct().where(orders.c.source.in_(sorted(sources)))
    return {(row.source, row.appid) for row in connection.execute(query.where(orders.c.appid.is_not(None)))}


def shared_orders(connection: Connection, one: str, other: str, *, most: int) -> list[str]:
    """Return order numbers that two namespaces both have."""
    there = select(orders.c.orderid).where(orders.c.namespace == other)
    query = select(orders.c.orderid).where(orders.c.namespace == one, orders.c.orderid.in_(there))
    return list(connection.scalars(query.order_by(orders.c.orderid).limit(most)))


def rename_source(connection: Connection, former: str, name: str) -> None:
    """Give everything that names a source its new name; the bodies of events stay as they were sent."""
    _unbounded(connection)
    for table in _tables_with("source"):
        connection.execute(update(table).where(table.c.source == former).values(source=name))
    for column in _LISTS:
        _rename_within(connection, column, former, name)
    # What one person has asked for is found by its subject until another has done it.
    wished = update(asked_acts).where(asked_acts.c.subject == f"brake:{former}")
    connection.execute(wished.values(subject=f"brake:{name}"))
    # A start under the new name, before its history was moved, has recorded it already.
    known = connection.scalar(select(source_states.c.name).where(source_states.c.name == name))
    mine = source_states.c.name == former
    connection.execute(
        delete(source_states).where(mine) if known else update(source_states).where(mine).values(name=name)
    )


def _rename_within(connection: Connection, column: Column[Any], former: str, name: str) -> None:
    """A filter or a scope that went on naming the former source would let nothing of the new one through."""
    key = tuple(column.table.primary_key)
    listing = connection.execute(select(*key, column).where(column.contains(former, autoescape=True))).all()
    for *mine, told in listing:
        names = told.strip(",").split(",")
        if former in names:
            renamed = ",".join(sorted({name if one == former else one for one in names}))
            spelled = f",{renamed}," if told.startswith(",") else renamed
            here = (one == value for one, value in zip(key, mine, strict=True))
            connection.execute(update(column.table).where(*here).values({column: spelled}))


def move(connection: Connection, former: str, namespace: str) -> None:
    """Move everything of a namespace to another one that has none of its orders."""
    _unbounded(connection)
    _move_breaks(connection, former, namespace)
    for table in _tables_with("namespace"):
        connection.execute(update(table).where(table.c.namespace == former).values(namespace=namespace))
    wished = update(asked_acts).where(asked_acts.c.subject == literal(f"{former}/") + asked_acts.c.orderid)
    connection.execute(wished.values(subject=literal(f"{namespace}/") + asked_acts.c.orderid))


def _move_breaks(connection: Connection, former: str, namespace: str) -> None:
    """The id of an order's break follows from its order, so that the next run finds it again."""
    query = select(breaks.c.id, breaks.c.kind, breaks.c.orderid).where(breaks.c.namespace == former)
    for row in connection.execute(query).all():
        if row.id == _break_id(row.kind, former, row.orderid):
            moved = _break_id(row.kind, namespace, row.orderid)
            connection.execute(update(breaks).where(breaks.c.id == row.id).values(id=moved))


def _break_id(kind: str, namespace: str, orderid: str) -> str:
    return Finding(kind=kind, severity=0, source="", key=(namespace, orderid), amount_micros=None, evidence={}).id


def _tables_with(column: str) -> list[Table]:
    """Every table, so that one that is added is not forgotten."""
    return [table for table in metadata.sorted_tables if column in table.c]


def _unbounded(connection: Connection) -> None:
    """It rewrites a history, which may take longer than any statement of the running system."""
    if not is_sqlite(connection):
        connection.execute(text("SET LOCAL statement_timeout = 0"))


_RECORD = text(
    """
    INSERT INTO source_states (name, namespace, created_at) VALUES (:name, :namespace, :now)
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("now", type_=source_states.c.created_at.type))
