"""Own the statements of one intake transaction: what is known is read in two, what is new is written in a few, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, text, update

from relay.core.callbacks import Callback
from relay.core.facts import TransferKey
from relay.core.orders import FLAGS, Finding, Order
from relay.core.unordered import NEAR, Unordered
from relay.store import matching, unordered
from relay.store.bulk import Insertion, Statement, given, insert_rows, types_of, with_rows
from relay.store.engine import FEED_LOCK, Asked, lock_for, together, with_commit
from relay.store.rows import (
    break_values,
    breaks,
    callback_columns,
    callback_from,
    callbacks,
    events,
    order_columns,
    order_from,
    order_values,
    orders,
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
    taken: list[tuple[TransferKey, Key]] = field(default_factory=list)
    claimed: list[tuple[Key, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the feed stands: its newest sequence, the sources that a person has paused, and credits that no order explains yet."""

    sequence: int
    paused: set[str]
    unordered: tuple[Unordered, ...] = ()


def open_feed(connection: Connection, arrived: Sequence[Callback], *, now: datetime) -> tuple[Known, Feed]:
    """Take the feed lock and read what a batch touches, all in one round trip.

    Until the transaction ends nobody else numbers events or changes orders.
    """
    return _open(connection, _keys(arrived), now)


def open_orders(connection: Connection, keys: Sequence[Key], *, now: datetime) -> tuple[Known, Feed]:
    """Take the feed lock as `open_feed` does, and read these orders with their callbacks."""
    nothing = {"source": None, "signature": None}
    named = [{"namespace": namespace, "orderid": orderid, **nothing} for namespace, orderid in keys]
    return _open(connection, named, now)


def _open(connection: Connection, keys: list[dict[str, Any]], now: datetime) -> tuple[Known, Feed]:
    # The lock comes first: each statement behind it sees what its last holder has committed.
    *_, kept, found, head = together(
        connection,
        *lock_for(connection, FEED_LOCK),
        (_CALLBACKS.on(connection), given(keys)),
        (_ORDERS.on(connection), given(keys)),
        (_FEED_HEAD, {"since": now - NEAR}),
    )
    orders_found = [order_from(row) for row in found]
    known = _known(kept)
    known.orders = {order.key: order for order in orders_found}
    return known, _feed(head)


def known_callbacks(connection: Connection, arrived: Sequence[Callback]) -> Known:
    """Read only the kept callbacks of a batch: enough to tell a repeat, in one indexed read."""
    (kept,) = together(connection, (_CALLBACKS.on(connection), given(_keys(arrived))))
    return _known(kept)


def last_sequence(connection: Connection) -> int:
    """Return the newest sequence of the feed; true only under the feed lock."""
    (head,) = together(connection, (_LAST, {}))
    return int(head[0]["sequence"])


def _keys(arrived: Sequence[Callback]) -> list[dict[str, Any]]:
    return [
        {"namespace": one.namespace, "orderid": one.orderid, "source": one.source, "signature": one.signature}
        for one in arrived
    ]


def _known(rows: Sequence[Mapping[str, Any]]) -> Known:
    known = Known()
    for row in rows:
        known.keep(callback_from(row))
    return known


def _feed(rows: Sequence[Mapping[str, Any]]) -> Feed:
    return Feed(
        max(row["sequence"] for row in rows),
        {row["name"] for row in rows if row["name"] is not None},
        tuple(unordered.read(row) for row in rows if row["orderid"] is not None),
    )


def write(connection: Connection, batch: Batch, *, now: datetime) -> None:
    """Write a batch, as the last words of its transaction; a constraint that objects takes the whole batch back."""
    stopped = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in batch.stopped]
    with_commit(
        connection,
        *_over(connection, _INSERT_CALLBACKS, batch.callbacks),
        *_over(connection, _INSERT_ORDERS, _stamped(batch.born, now)),
        *_over(connection, _UPDATE_ORDERS, _stamped(batch.changed, now)),
        *_announcing(connection, batch.events, now),
        *matching.taking(connection, batch.taken, now=now),
        *unordered.claiming(connection, batch.claimed),
        # Last, for the credit that a conflict stops may have come in this very batch.
        *_over(connection, STOP, stopped),
    )


def keep_rejected(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep requests that were refused."""
    with_commit(connection, *_over(connection, _INSERT_CALLBACKS, rows))


def announce(connection: Connection, rows: Sequence[dict[str, Any]], *, now: datetime) -> None:
    """Write events, and a delivery for each endpoint that wants them.

    The caller holds the feed lock and has numbered the events without a gap.
    """
    together(connection, *_announcing(connection, rows, now))


def _over(connection: Connection, statement: Statement | Insertion, rows: Sequence[dict[str, Any]]) -> list[Asked]:
    return [statement.asked(connection, rows)] if rows else []


def _announcing(connection: Connection, rows: Sequence[dict[str, Any]], now: datetime) -> list[Asked]:
    if not rows:
        return []
    bounds = {"first": rows[0]["sequence"], "last": rows[-1]["sequence"], "now": now}
    return [*_over(connection, _INSERT_EVENTS, rows), (_FAN_OUT, bounds)]


def _stamped(by_key: dict[Key, Order], now: datetime) -> list[dict[str, Any]]:
    """Rows in one order in every process: two batches cannot lock each other out."""
    return [order_values(by_key[key]) | {"created_at": now, "updated_at": now} for key in sorted(by_key)]


_ORDER_LIST = ", ".join(f"o.{column.name}" for column in order_columns)
_CALLBACK_LIST = ", ".join(f"c.{column.name}" for column in callback_columns)
_KEY_TYPES = types_of(callbacks, ("namespace", "orderid", "source", "signature"))
_ORDERS = with_rows(
    f"SELECT {_ORDER_LIST} FROM {{rows}} AS g JOIN orders o ON o.namespace = g.namespace AND o.orderid = g.orderid",
    _KEY_TYPES,
    registered=orders.c.registered.type,
    expires_at=orders.c.expires_at.type,
)
_CALLBACKS = with_rows(
    f"""
    SELECT {_CALLBACK_LIST}, c.id FROM {{rows}} AS g
    JOIN callbacks c ON c.namespace = g.namespace AND c.orderid = g.orderid AND c.verdict <> 'rejected'
    UNION
    SELECT {_CALLBACK_LIST}, c.id FROM {{rows}} AS g
    JOIN callbacks c ON c.source = g.source AND c.signature = g.signature AND c.verdict <> 'rejected'
    ORDER BY id
    """,
    _KEY_TYPES,
    occurred_at=callbacks.c.occurred_at.type,
)
_LAST = text("SELECT coalesce(max(sequence), 0) AS sequence FROM events")
# Nearly always one row; what is asked beside the sequence is empty or a few rows, and costs no exchange of its own.
_FEED_HEAD = text(
    f"""
    SELECT NULL AS name, coalesce(max(sequence), 0) AS sequence, {unordered.NOTHING} FROM events
    UNION ALL SELECT name, 0, {unordered.NOTHING} FROM source_states WHERE paused_at IS NOT NULL
    UNION ALL {unordered.OPEN}
    """
).bindparams(bindparam("since", type_=events.c.created_at.type))
_INSERT_CALLBACKS = insert_rows(callbacks)
_INSERT_EVENTS = insert_rows(events)
_INSERT_ORDERS = insert_rows(orders)
_CHANGED = [column.name for column in order_columns if column.name not in ("namespace", "orderid")] + ["updated_at"]
_UPDATE_ORDERS = with_rows(
    f"""
    UPDATE orders SET {", ".join(f"{name} = g.{name}" for name in _CHANGED)} FROM {{rows}} AS g
    WHERE orders.namespace = g.namespace AND orders.orderid = g.orderid
    """,
    types_of(orders, ("namespace", "orderid", *_CHANGED)),
)
# Hold the credits that no subscriber has been sent yet; what was announced cannot be taken back.
STOP = with_rows(
    """
    UPDATE deliveries SET state = 'held'
    WHERE state = 'pending' AND attempts = 0 AND event_sequence IN (
        SELECT e.sequence FROM {rows} AS g JOIN events e
            ON e.namespace = g.namespace AND e.orderid = g.orderid AND e.type = 'recharge.succeeded')
    """,
    types_of(orders, ("namespace", "orderid")),
)
# Whether an event of an order passes the filters of endpoint p; one that lacks what a filter names does not.
_PASSES = f"""
    (p.appid IS NULL OR e.appid = p.appid)
    AND (p.user_prefix IS NULL OR substr(e.user_ref, 1, length(p.user_prefix)) = p.user_prefix)
    AND (p.amount_min_micros IS NULL OR e.amount_micros >= p.amount_min_micros)
    AND (p.amount_max_micros IS NULL OR e.amount_micros <= p.amount_max_micros)
    AND (p.any_flags IS NULL OR EXISTS (
        SELECT 1 FROM (VALUES {", ".join(f"('{flag}')" for flag in FLAGS)}) AS flag
        WHERE replace(p.any_flags, ',' || flag.column1 || ',', '') <> p.any_flags
            AND replace(' ' || e.flags || ' ', ' ' || flag.column1 || ' ', '') <> ' ' || e.flags || ' '))
"""
# Lists of names stand between commas, so that none is found within another; LIKE would take the _ of a name for any letter.
# Whether endpoint p wants event e. One of kind per_order is told of the orders whose own URL lies under its prefix, by
# the rule of core.notify_urls.covers.
WANTED = f"""
    p.deleted_at IS NULL
        AND CASE WHEN p.event_types IS NULL THEN e.type LIKE 'recharge.%'
            ELSE replace(p.event_types, ',' || e.type || ',', '') <> p.event_types END
        AND (p.sources IS NULL OR e.source IS NULL OR replace(p.sources, ',' || e.source || ',', '') <> p.sources)
        AND (p.kind = 'fixed' OR substr(e.notify_url, 1, length(p.url)) = p.url
            AND (substr(p.url, length(p.url)) = '/' OR substr(e.notify_url, length(p.url) + 1, 1) IN ('', '/', '?')))
        AND (e.type NOT LIKE 'recharge.%' OR {_PASSES})
"""
# An endpoint that is paused or disabled misses nothing: its deliveries wait for it.
NEW_DELIVERY = f"""
    INSERT INTO deliveries (event_sequence, endpoint_id, state, attempts, failures, unknowns, due_at, created_at)
    SELECT e.sequence, p.id, CASE p.state WHEN 'enabled' THEN 'pending' ELSE 'paused' END, 0, 0, 0, :now, :now
    FROM events e JOIN endpoints p ON {WANTED}
"""
_FAN_OUT = text(f"{NEW_DELIVERY} WHERE e.sequence BETWEEN :first AND :last ORDER BY e.sequence, p.id").bindparams(
    bindparam("now", type_=events.c.created_at.type)
)


def open_break(connection: Connection, finding: Finding, *, now: datetime) -> bool:
    """Open the break of a finding, or note that it was seen again; tell whether it is news: it is new, or was over."""
    mine, values = update(breaks).where(breaks.c.id == finding.id), break_values(finding, now)
    if connection.execute(mine.where(breaks.c.state == "open").values(last_seen=now)).rowcount:
        return False
    again = {name: values[name] for name in ("state", "evidence", "amount_micros", "last_seen")}
    if not connection.execute(mine.values(again | {"resolved_at": None, "resolved_by": None})).rowcount:
        connection.execute(insert(breaks), values)
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
# By the place within its kind, so that the tail of a flood goes before the only request of another sender.
_EVICT_LARGEST = text(
    f"""
    DELETE FROM callbacks WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (ORDER BY place, id DESC) AS overall FROM ({_RANKED}) AS ranked
        ) AS counted
        WHERE overall > :most)
    """
)
