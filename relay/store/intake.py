"""Own the statements of one intake transaction: what is known is read in two, what is new is written in a few, whatever the size of the batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, text, update

from relay.core.callbacks import Callback
from relay.core.orders import Finding, Order
from relay.store.rows import (
    breaks,
    callback_columns,
    callback_from,
    callbacks,
    events,
    order_columns,
    order_from,
    order_values,
    orders,
    source_states,
)

Key = tuple[str, str]


@dataclass(slots=True)
class Known:
    """What SQL knows of a batch: orders by key, kept callbacks by key and by (source, signature)."""

    orders: dict[Key, Order] = field(default_factory=dict)
    callbacks: dict[Key, list[Callback]] = field(default_factory=dict)
    signatures: dict[Key, Callback] = field(default_factory=dict)

    def about(self, callback: Callback) -> list[Callback]:
        """Return the kept callbacks that concern this one: of its order, and of its signature."""
        found = self.callbacks.get(callback.key, [])
        if callback.signature is None:
            return found
        signed = self.signatures.get((callback.source, callback.signature))
        return found if signed is None or signed in found else [*found, signed]

    def keep(self, callback: Callback) -> None:
        """Add a callback that this batch keeps, so that the next one of the batch meets it."""
        self.callbacks.setdefault(callback.key, []).append(callback)
        if callback.signature is not None:
            self.signatures[callback.source, callback.signature] = callback


@dataclass(slots=True)
class Batch:
    """The rows of one transaction."""

    callbacks: list[dict[str, Any]] = field(default_factory=list)
    born: dict[Key, Order] = field(default_factory=dict)
    changed: dict[Key, Order] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[Key] = field(default_factory=list)


def known_of(connection: Connection, arrived: Sequence[Callback]) -> Known:
    """Read the orders and kept callbacks that a batch touches, in two indexed reads."""
    known = known_callbacks(connection, arrived)
    wanted = {callback.key for callback in arrived}
    for row in connection.execute(_orders_of(wanted)).mappings():
        order = order_from(row)
        known.orders[order.key] = order
    return known


def known_callbacks(connection: Connection, arrived: Sequence[Callback]) -> Known:
    """Read only the kept callbacks of a batch: enough to tell a repeat, in one indexed read."""
    known = Known()
    for row in connection.execute(_callbacks_of(arrived)).mappings():
        known.keep(callback_from(row))
    return known


def _orders_of(keys: Iterable[Key]) -> Any:
    namespaces, orderids = {key[0] for key in keys}, {key[1] for key in keys}
    return select(*order_columns).where(orders.c.namespace.in_(namespaces), orders.c.orderid.in_(orderids))


def _callbacks_of(arrived: Sequence[Callback]) -> Any:
    namespaces, orderids = {one.namespace for one in arrived}, {one.orderid for one in arrived}
    signatures, sources = {one.signature for one in arrived if one.signature}, {one.source for one in arrived}
    kept = callbacks.c.verdict != text("'rejected'")
    return (
        select(*callback_columns)
        .where(kept)
        .where(
            or_(
                callbacks.c.namespace.in_(namespaces) & callbacks.c.orderid.in_(orderids),
                callbacks.c.source.in_(sources) & callbacks.c.signature.in_(signatures),
            )
        )
        .order_by(callbacks.c.id)
    )


def paused_sources(connection: Connection) -> set[str]:
    """Return the names of the sources that a person has paused."""
    return set(connection.scalars(select(source_states.c.name).where(source_states.c.paused_at.is_not(None))))


def last_sequence(connection: Connection) -> int:
    """Return the newest sequence of the feed; only meaningful under the feed lock."""
    return connection.scalar(select(func.max(events.c.sequence))) or 0


def write(connection: Connection, batch: Batch, *, now: datetime) -> None:
    """Write a batch; a constraint that objects raises and takes the whole batch back."""
    if batch.callbacks:
        connection.execute(insert(callbacks), batch.callbacks)
    if batch.born:
        connection.execute(
            insert(orders), [order_values(one) | {"created_at": now, "updated_at": now} for one in _sorted(batch.born)]
        )
    if batch.changed:
        connection.execute(_ORDER_CHANGES, [_changes(one, now) for one in _sorted(batch.changed)])
    if batch.stopped:
        _stop_deliveries(connection, batch.stopped)
    if batch.events:
        announce(connection, batch.events, now=now)


def _sorted(by_key: dict[Key, Order]) -> list[Order]:
    """Rows in one order in every process: two batches cannot lock each other out."""
    return [by_key[key] for key in sorted(by_key)]


_ORDER_CHANGES = (
    update(orders)
    .where(orders.c.namespace == bindparam("of_namespace"), orders.c.orderid == bindparam("of_orderid"))
    .values(
        {column.name: bindparam(column.name) for column in order_columns if column.name not in ("namespace", "orderid")}
    )
    .values(updated_at=bindparam("updated_at"))
)


def _changes(order: Order, now: datetime) -> dict[str, Any]:
    values = order_values(order)
    return values | {"of_namespace": values.pop("namespace"), "of_orderid": values.pop("orderid"), "updated_at": now}


def _stop_deliveries(connection: Connection, keys: Sequence[Key]) -> None:
    """Hold the credits that no subscriber has been sent yet; what was announced cannot be taken back."""
    connection.execute(_STOP, [{"namespace": namespace, "orderid": orderid} for namespace, orderid in keys])


_STOP = text(
    """
    UPDATE deliveries SET state = 'held'
    WHERE state = 'pending' AND attempts = 0 AND event_sequence IN (
        SELECT sequence FROM events
        WHERE namespace = :namespace AND orderid = :orderid AND type = 'recharge.succeeded')
    """
)


def announce(connection: Connection, rows: Sequence[dict[str, Any]], *, now: datetime) -> None:
    """Write events, and a delivery for each endpoint that wants them, in two statements.

    The caller holds the feed lock and has numbered the events without a gap.
    """
    connection.execute(insert(events), rows)
    connection.execute(_FAN_OUT, {"first": rows[0]["sequence"], "last": rows[-1]["sequence"], "now": now})


# An endpoint that is paused or disabled misses nothing: its deliveries wait for it.
_FAN_OUT = text(
    """
    INSERT INTO deliveries (event_sequence, endpoint_id, state, attempts, failures, unknowns, due_at, created_at)
    SELECT e.sequence, p.id, CASE p.state WHEN 'enabled' THEN 'pending' ELSE 'paused' END, 0, 0, 0, :now, :now
    FROM events e JOIN endpoints p ON p.deleted_at IS NULL
        AND CASE WHEN p.event_types IS NULL THEN e.type LIKE 'recharge.%'
            ELSE replace(p.event_types, ',' || e.type || ',', '') <> p.event_types END
        AND (p.sources IS NULL OR e.source IS NULL OR replace(p.sources, ',' || e.source || ',', '') <> p.sources)
    WHERE e.sequence BETWEEN :first AND :last
    ORDER BY e.sequence, p.id
    """
).bindparams(bindparam("now", type_=events.c.created_at.type))


def open_break(connection: Connection, finding: Finding, *, now: datetime) -> bool:
    """Open the break of a finding, or note that it was seen again; tell whether it is new."""
    namespace, orderid = finding.callback.key
    seen = connection.execute(update(breaks).where(breaks.c.id == finding.id).values(last_seen=now, state="open"))
    if seen.rowcount:
        return False
    connection.execute(
        insert(breaks),
        {
            "id": finding.id,
            "kind": finding.kind,
            "severity": finding.severity,
            "state": "open",
            "namespace": namespace,
            "orderid": orderid,
            "amount_micros": finding.callback.amount_micros,
            "evidence": json.dumps(finding.evidence),
            "first_seen": now,
            "last_seen": now,
        },
    )
    return True


def evict_rejected(connection: Connection, *, most_of_a_kind: int, most: int) -> int:
    """Make room among the rejected: each (source, reason, address group) keeps its newest, then the largest kinds give way.

    The name of an unknown source is the sender's to choose, so all of those count as one.
    """
    kinds = connection.execute(_EVICT_KIND, {"most": most_of_a_kind}).rowcount
    return kinds + connection.execute(_EVICT_LARGEST, {"most": most}).rowcount


_KIND = "CASE reason WHEN 'unknown_source' THEN '' ELSE source END, reason, address_group"
_RANKED = f"SELECT id, row_number() OVER (PARTITION BY {_KIND} ORDER BY id DESC) AS place FROM callbacks WHERE verdict = 'rejected'"
_EVICT_KIND = text(f"DELETE FROM callbacks WHERE id IN (SELECT id FROM ({_RANKED}) AS ranked WHERE place > :most)")
_EVICT_LARGEST = text(
    f"""
    DELETE FROM callbacks WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (ORDER BY place, id DESC) AS overall FROM ({_RANKED}) AS ranked
        ) AS counted
        WHERE overall > :most)
    """
)
