"""Own the stored address book."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from relay.core.address_book import Entry
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import together
from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import addresses

Key = tuple[str, str]
_FIELDS = ("chain", "address", "role", "namespace", "owner")


def known(connection: Connection, keys: Iterable[Key]) -> dict[Key, Entry]:
    """Return what the book says of addresses (chain, machine spelling), by key."""
    asked = [{"chain": chain, "address": address} for chain, address in sorted(set(keys))]
    if not asked:
        return {}
    (rows,) = together(connection, (_KNOWN.on(connection), given(asked)))
    entries = (Entry(**{name: row[name] for name in _FIELDS}) for row in rows)
    return {entry.key: entry for entry in entries}


def enter(connection: Connection, entries: Mapping[Key, Entry], *, now: datetime) -> None:
    """Write entries as they shall stand; the caller holds the feed lock, and has read under it what is known.

    In one order in every process, whatever locks they hold: two batches cannot lock each other out.
    """
    if entries:
        rows = [
            {name: getattr(entries[key], name) for name in _FIELDS} | {"created_at": now} for key in sorted(entries)
        ]
        together(connection, (_ENTER.on(connection), given(rows)))


def page(
    connection: Connection,
    *,
    scope: Collection[str] | None,
    after: Cursor | None,
    limit: int,
    chain: str | None = None,
    address: str | None = None,
    role: str | None = None,
    owner: str | None = None,
) -> Page:
    """List addresses, newest first; `scope` holds namespaces, `address` is in machine spelling."""
    wanted = {addresses.c.chain: chain, addresses.c.address: address, addresses.c.role: role, addresses.c.owner: owner}
    query = select(addresses).where(*(column == value for column, value in wanted.items() if value is not None))
    if scope is not None:
        query = query.where(addresses.c.namespace.in_(sorted(scope)))
    return read_page(connection, query, addresses.c.id, after=after, limit=limit)


_KNOWN = with_rows(
    f"""
    SELECT {", ".join(f"a.{name}" for name in _FIELDS)} FROM {{rows}} AS g
    JOIN addresses a ON a.chain = g.chain AND a.address = g.address
    """,
    types_of(addresses, ("chain", "address")),
)
# The condition of WHERE keeps SQLite from reading ON as the beginning of a join.
_ENTER = with_rows(
    """
    INSERT INTO addresses (chain, address, role, namespace, owner, created_at)
    SELECT chain, address, role, namespace, owner, created_at FROM {rows} AS g WHERE true
    ON CONFLICT (chain, address) DO UPDATE SET namespace = excluded.namespace, owner = excluded.owner
    """,
    types_of(addresses, (*_FIELDS, "created_at")),
)
