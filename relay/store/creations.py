"""Own the stored requests for orders: each leaves once, and what became of it is written with its order."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, text, update

from relay.core.orders import Order
from relay.store.rows import creations, order_columns, order_from, order_values, orders

Key = tuple[str, str]
# Word for word the condition of the index that lists what is not over: SQLite looks for nothing less.
_OPEN = text("state IN ('waiting', 'sent', 'unknown')")


def add(
    connection: Connection, key: Key, *, source: str, call: str, fields: str, due_at: datetime, now: datetime
) -> int:
    """Store a request that has not left; return its id. A job takes it up at `due_at` when nobody did before."""
    namespace, orderid = key
    values = {"namespace": namespace, "orderid": orderid, "source": source, "call": call, "fields": fields}
    made = connection.execute(
        insert(creations).values(**values, state="waiting", tries=0, due_at=due_at, created_at=now)
    )
    number: int = made.inserted_primary_key[0]  # type: ignore[index]  # an insert of one row has one
    return number


def find(connection: Connection, key: Key) -> RowMapping | None:
    """Return the request for an order."""
    query = select(creations).where(creations.c.namespace == key[0], creations.c.orderid == key[1])
    return connection.execute(query).mappings().first()


def next_due(connection: Connection, *, now: datetime, busy: Collection[str] = ()) -> RowMapping | None:
    """Return the request that waits the longest to leave, or that left and whose sender never came back.

    None where there is none; of `busy` sources none leaves now.
    """
    query = select(creations).where(_OPEN, creations.c.state != "unknown", creations.c.due_at <= now)
    if busy:
        query = query.where((creations.c.state == "sent") | creations.c.source.not_in(sorted(busy)))
    return connection.execute(query.order_by(creations.c.due_at).limit(1)).mappings().first()


def take(connection: Connection, number: int, *, now: datetime, due_at: datetime) -> bool:
    """Mark a request as sent, before it is; False when somebody else did. At `due_at` its sender counts as lost."""
    waiting = (creations.c.id == number, creations.c.state == "waiting")
    taken = {"state": "sent", "sent_at": now, "due_at": due_at, "tries": creations.c.tries + 1}
    return connection.execute(update(creations).where(*waiting).values(taken)).rowcount == 1


def settle(
    connection: Connection,
    number: int,
    *,
    state: str,
    now: datetime,
    since: Collection[str] = ("sent", "unknown"),
    due_at: datetime | None = None,
    error: str | None = None,
    answer: str | None = None,
) -> bool:
    """Write what became of a request that stands in one of `since`; False when it stands elsewhere by now.

    One that is `waiting` again never reached the provider.
    """
    still_open = (creations.c.id == number, creations.c.state.in_(sorted(since)))
    values = {"state": state, "error": error, "answer": answer, "due_at": due_at or now}
    values |= {"sent_at": None} if state == "waiting" else {"answered_at": now}
    return connection.execute(update(creations).where(*still_open).values(values)).rowcount == 1


def order_of(connection: Connection, key: Key) -> Order:
    """Return the order of a request; the caller holds the feed lock when it is going to change it."""
    query = select(*order_columns).where(orders.c.namespace == key[0], orders.c.orderid == key[1])
    return order_from(dict(connection.execute(query).mappings().one()))


def write_order(connection: Connection, order: Order, *, now: datetime) -> None:
    """Write an order as it stands; the caller holds the feed lock, and has read it under it."""
    mine = (orders.c.namespace == order.namespace, orders.c.orderid == order.orderid)
    connection.execute(update(orders).where(*mine).values(order_values(order) | {"updated_at": now}))
