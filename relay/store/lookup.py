"""Own the search for one thing by any name a person has of it: order, transaction, address."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, Select, select, union

from relay.core.chain_addresses import parse_address
from relay.core.hashes import parse_hash, spellings
from relay.store.rows import callbacks, matches, orders, provider_facts

Key = tuple[str, str]
MOST = 200


def orders_by(connection: Connection, text: str, *, namespaces: Collection[str], chains: Collection[str]) -> set[Key]:
    """Return the orders that are called so, were paid by that transaction, or have that address, in any spelling.

    Each part reads an index; at most MOST of each.
    """
    parts = [select(part.limit(MOST).subquery()) for part in _parts(text, sorted(namespaces), sorted(chains))]
    return {(row[0], row[1]) for row in connection.execute(union(*parts))}


def _parts(text: str, namespaces: list[str], chains: list[str]) -> Iterator[Select[Any]]:
    for table in (orders, callbacks):
        yield select(table.c.namespace, table.c.orderid).where(
            table.c.namespace.in_(namespaces), table.c.orderid == text
        )
    if address := _read(parse_address, text, "tron"):
        yield select(orders.c.namespace, orders.c.orderid).where(orders.c.address == address)
    if tx_hash := _read(parse_hash, text):
        yield select(matches.c.namespace, matches.c.orderid).where(
            matches.c.chain.in_(chains), matches.c.tx_hash == tx_hash
        )
        for table in (callbacks, provider_facts):
            told = (table.c.tx_hash.in_(spellings(tx_hash)), table.c.namespace.is_not(None))
            kept = (callbacks.c.verdict != "rejected",) if table is callbacks else ()
            yield select(table.c.namespace, table.c.orderid).where(*told, *kept)


def _read(parse: Any, *given: str) -> str | None:
    try:
        return str(parse(*given))
    except ValueError:
        return None
