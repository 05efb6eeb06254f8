"""Own the search for one thing by any name a person has of it: order, user, address, amount, event, transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, literal, select, union, union_all
from sqlalchemy import text as text_of

from relay.core.amounts import parse_usdt
from relay.core.chain_addresses import parse_address
from relay.core.hashes import parse_hash, spellings
from relay.store.paging import Cursor
from relay.store.rows import callbacks, events, matches, orders, provider_facts

Key = tuple[str, str]
Value = TypeVar("Value")
MOST = 200


@dataclass(frozen=True, slots=True)
class Found:
    """Orders, the newest first, each with the ways in which the text names it; `next` is the cursor of those behind."""

    rows: list[tuple[RowMapping, list[str]]]
    next: Cursor | None


def orders_named(
    connection: Connection,
    text: str,
    *,
    namespaces: Collection[str],
    chains: Collection[str],
    after: Cursor | None,
    limit: int,
) -> Found:
    """Return the orders that a text names exactly, in whichever way: `order`, `user`, `address`, `amount`, `event`, `transaction`.

    One statement; each part of it reads an index, backwards from the cursor, and no further than the page goes.
    """
    behind = [] if after is None else [orders.c.id < after]
    parts = [
        select(orders.c.id, literal(way).label("way"))
        .where(which, *behind)
        .order_by(orders.c.id.desc())
        .limit(limit + 1)
        for way, which in _ways(text, sorted(namespaces), sorted(chains))
    ]
    found = union_all(*(select(part.subquery()) for part in parts)).subquery()
    query = select(orders, found.c.way).join(found, found.c.id == orders.c.id).order_by(orders.c.id.desc(), found.c.way)
    named: dict[int, tuple[RowMapping, list[str]]] = {}
    for row in connection.execute(query).mappings():
        ways = named.setdefault(row["id"], (row, []))[1]
        if row["way"] not in ways:
            ways.append(row["way"])
    page = list(named.values())
    return Found(page[:limit], page[limit - 1][0]["id"] if len(page) > limit else None)


def _ways(text: str, namespaces: list[str], chains: list[str]) -> Iterator[tuple[str, ColumnElement[bool]]]:
    yield "order", and_(orders.c.namespace.in_(namespaces), orders.c.orderid == text)
    yield "user", orders.c.user_ref == text
    if address := _read(parse_address, text, "tron"):
        yield "address", orders.c.address == address
    if (micros := _read(parse_usdt, text.replace(",", ""))) is not None:
        yield "amount", orders.c.amount_micros == micros
        yield "amount", orders.c.expected_micros == micros
    if text.startswith("evt_"):
        yield "event", _is_one_of(select(events.c.namespace, events.c.orderid).where(events.c.id == text))
    if tx_hash := _read(parse_hash, text):
        for part in _paid_by(tx_hash, chains):
            yield "transaction", _is_one_of(part)


def _is_one_of(keys: Select[Any]) -> ColumnElement[bool]:
    """A condition that reads the keys first, and then each order by its own."""
    named = keys.limit(MOST).subquery()
    mine = and_(_IDS.c.namespace == named.c.namespace, _IDS.c.orderid == named.c.orderid)
    return orders.c.id.in_(select(_IDS.c.id).join(named, mine))


_IDS = orders.alias("named")
# In the words of the index, which a bound value would hide.
_KEPT = (text_of("callbacks.tx_hash IS NOT NULL AND callbacks.verdict <> 'rejected'"),)


def orders_by(connection: Connection, text: str, *, namespaces: Collection[str], chains: Collection[str]) -> set[Key]:
    """Return the orders that are called so, were paid by that transaction, or have that address, in any spelling.

    Each part reads an index; at most MOST of each.
    """
    parts = [select(part.limit(MOST).subquery()) for part in _parts(text, sorted(namespaces), sorted(chains))]
    return {(row[0], row[1]) for row in connection.execute(union(*parts))}


def spots_named(text: str) -> list[str]:
    """Return the machine spelling of the transaction or the address that a text may be: breaks that are about no order name them."""
    found = (_read(parse_address, text, "tron"), _read(parse_hash, text))
    return [one for one in found if one is not None]


def _parts(text: str, namespaces: list[str], chains: list[str]) -> Iterator[Select[Any]]:
    for table in (orders, callbacks):
        yield select(table.c.namespace, table.c.orderid).where(
            table.c.namespace.in_(namespaces), table.c.orderid == text
        )
    if address := _read(parse_address, text, "tron"):
        yield select(orders.c.namespace, orders.c.orderid).where(orders.c.address == address)
    if tx_hash := _read(parse_hash, text):
        yield from _paid_by(tx_hash, chains)


def _paid_by(tx_hash: str, chains: list[str]) -> Iterator[Select[Any]]:
    """The orders to which a transaction was matched, and those of which somebody named it."""
    yield select(matches.c.namespace, matches.c.orderid).where(
        matches.c.chain.in_(chains), matches.c.tx_hash == tx_hash
    )
    for table in (callbacks, provider_facts):
        told = (table.c.tx_hash.in_(spellings(tx_hash)), table.c.namespace.is_not(None))
        yield select(table.c.namespace, table.c.orderid).where(*told, *(_KEPT if table is callbacks else ()))


def _read(parse: Callable[..., Value], *given: str) -> Value | None:
    try:
        return parse(*given)
    except ValueError:
        return None
