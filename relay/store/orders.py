"""Own the stored orders: how people look at them, and how those made elsewhere are registered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from relay.core.address_book import Entry, entered
from relay.core.orders import Order
from relay.core.registrations import Registration, registered
from relay.store import addresses
from relay.store.bulk import Insertion, Statement, insert_rows, types_of, with_rows
from relay.store.engine import together
from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import breaks, order_columns, order_from, order_values, orders

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of a registration: accepted, unchanged (it was known), or refused, and why."""

    outcome: str
    reason: str = ""


def page(
    connection: Connection,
    *,
    scope: Collection[str] | None,
    after: Cursor | None,
    limit: int,
    state: str | None = None,
    user: str | None = None,
    address: str | None = None,
    since: datetime | None = None,
) -> Page:
    """List orders, newest first; `scope` holds namespaces, `address` is in machine spelling, `since` meets the last change."""
    wanted = {orders.c.state: state, orders.c.user_ref: user, orders.c.address: address}
    query = select(orders).where(*(column == value for column, value in wanted.items() if value is not None))
    if scope is not None:
        query = query.where(orders.c.namespace.in_(sorted(scope)))
    if since is not None:
        query = query.where(orders.c.updated_at >= since)
    return read_page(connection, query, orders.c.id, after=after, limit=limit)


def find(connection: Connection, namespace: str, orderid: str) -> RowMapping | None:
    """Return one order."""
    query = select(orders).where(orders.c.namespace == namespace, orders.c.orderid == orderid)
    return connection.execute(query).mappings().first()


def breaks_of(connection: Connection, namespace: str, orderid: str, *, most: int) -> list[RowMapping]:
    """Return the breaks of an order, oldest first."""
    query = select(breaks).where(breaks.c.namespace == namespace, breaks.c.orderid == orderid)
    return list(connection.execute(query.order_by(breaks.c.first_seen, breaks.c.id).limit(most)).mappings())


def register(connection: Connection, wanted: Sequence[Registration], *, now: datetime) -> list[Entered]:
    """Register orders, and the addresses that are their users' own; return what became of each, in their order.

    The caller holds the feed lock: whoever judges callbacks reads and writes
    the same rows. A registration that contradicts what is known changes nothing.
    """
    view = _View(connection, wanted)
    outcomes = [view.take(one) for one in wanted]
    addresses.enter(connection, view.new_entries, now=now)
    _write(connection, view.born, _INSERT, now)
    _write(connection, view.changed, _UPDATE, now)
    return outcomes


def judge(connection: Connection, wanted: Sequence[Registration]) -> list[Entered]:
    """Return what would become of each registration now; needs no lock and writes nothing."""
    view = _View(connection, wanted)
    return [view.take(one) for one in wanted]


class _View:
    """What is known of a batch, and what it changes; a line meets what the lines before it said."""

    def __init__(self, connection: Connection, wanted: Sequence[Registration]) -> None:
        self._orders = _known(connection, {one.key for one in wanted})
        self._entries = addresses.known(connection, (one.entry.key for one in wanted if one.entry is not None))
        self.born: dict[Key, Order] = {}
        self.changed: dict[Key, Order] = {}
        self.new_entries: dict[Key, Entry] = {}

    def take(self, wanted: Registration) -> Entered:
        before, entry = self._orders.get(wanted.key), wanted.entry
        listed = None if entry is None else self._entries.get(entry.key)
        try:
            after = registered(wanted, before)
            lists = None if entry is None else entered(entry, listed)
        except ValueError as error:
            return Entered("refused", str(error))
        if after == before and lists == listed:
            return Entered("unchanged")
        self._keep(after, before, lists)
        return Entered("accepted")

    def _keep(self, order: Order, before: Order | None, entry: Entry | None) -> None:
        is_new = before is None or order.key in self.born
        (self.born if is_new else self.changed)[order.key] = order
        self._orders[order.key] = order
        if entry is not None:
            self.new_entries[entry.key] = self._entries[entry.key] = entry


def _known(connection: Connection, keys: Iterable[Key]) -> dict[Key, Order]:
    asked = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in sorted(keys)]
    (rows,) = together(connection, _KNOWN.asked(connection, asked))
    found = (order_from(row) for row in rows)
    return {order.key: order for order in found}


def _write(connection: Connection, by_key: dict[Key, Order], statement: Statement | Insertion, now: datetime) -> None:
    """Rows in one order in every process, as whoever judges callbacks writes them."""
    rows = [order_values(by_key[key]) | {"created_at": now, "updated_at": now} for key in sorted(by_key)]
    if rows:
        together(connection, statement.asked(connection, rows))


_KEY = ("namespace", "orderid")
_KNOWN = with_rows(
    f"""
    SELECT {", ".join(f"o.{column.name}" for column in order_columns)} FROM {{rows}} AS g
    JOIN orders o ON o.namespace = g.namespace AND o.orderid = g.orderid
    """,
    types_of(orders, _KEY),
    registered=orders.c.registered.type,
    expires_at=orders.c.expires_at.type,
)
_INSERT = insert_rows(orders)
_CHANGED = [column.name for column in order_columns if column.name not in _KEY] + ["updated_at"]
_UPDATE = with_rows(
    f"""
    UPDATE orders SET {", ".join(f"{name} = g.{name}" for name in _CHANGED)} FROM {{rows}} AS g
    WHERE orders.namespace = g.namespace AND orders.orderid = g.orderid
    """,
    types_of(orders, (*_KEY, *_CHANGED)),
)
