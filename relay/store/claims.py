"""Own what is known of transactions that witnesses name: where scans found them, who else names them, what nodes said of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text, update

from relay.core.hashes import spellings
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import together
from relay.store.rows import named_transactions

Key = tuple[str, str]


def found_at(connection: Connection, hashes: Collection[str]) -> dict[str, list[tuple[str, str | None]]]:
    """Return for each transaction where its standing transfers pay addresses of ours: chain, and the order they belong to."""
    (rows,) = together(connection, (_FOUND.on(connection), given(_asked(hashes))))
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for row in rows:
        found[row["tx_hash"]].append((row["chain"], row["orderid"]))
    return found


def named_by(connection: Connection, hashes: Collection[str]) -> dict[str, set[Key]]:
    """Return for each transaction the orders of which a callback or the provider named it."""
    told = [{"tx_hash": one, "told": spelling} for one in sorted(hashes) for spelling in spellings(one)]
    (rows,) = together(connection, (_NAMED.on(connection), given(told)))
    found: dict[str, set[Key]] = defaultdict(set)
    for row in rows:
        found[row["tx_hash"]].add((row["namespace"], row["orderid"]))
    return found


def credited_by_name(connection: Connection, tx_hash: str) -> list[str]:
    """Return the numbers of credited orders that name a transaction and have none of its transfers yet."""
    told = [{"tx_hash": tx_hash, "told": spelling} for spelling in spellings(tx_hash)]
    (rows,) = together(connection, (_CREDITED.on(connection), given(told)))
    return sorted(row["orderid"] for row in rows)


def answers(connection: Connection, hashes: Collection[str]) -> dict[str, RowMapping]:
    """Return what nodes said of transactions, those that were never asked about left out."""
    query = select(named_transactions).where(named_transactions.c.tx_hash.in_(sorted(hashes)))
    return {row["tx_hash"]: row for row in connection.execute(query).mappings()}


def ask(connection: Connection, hashes: Iterable[str], *, look_at: datetime) -> None:
    """Have nodes asked about transactions at a moment, where nobody did before."""
    rows = [{"tx_hash": one, "look_at": look_at} for one in sorted(hashes)]
    if rows:
        connection.execute(_ASK.on(connection), given(rows))


def due(connection: Connection, *, now: datetime, limit: int) -> list[RowMapping]:
    """Return the transactions that nodes are to be asked about."""
    query = select(named_transactions).where(text("look_at IS NOT NULL"), named_transactions.c.look_at <= now)
    return list(connection.execute(query.order_by(named_transactions.c.look_at).limit(limit)).mappings())


def note(connection: Connection, tx_hash: str, **columns: object) -> None:
    """Write what nodes said of a transaction, or when they are asked again."""
    mine = named_transactions.c.tx_hash == tx_hash
    connection.execute(update(named_transactions).where(mine).values(**columns))


def _asked(hashes: Collection[str]) -> Sequence[Mapping[str, Any]]:
    return [{"tx_hash": one} for one in sorted(hashes)]


_HASH = types_of(named_transactions, ("tx_hash",))
_FOUND = with_rows(
    """
    SELECT g.tx_hash, t.chain, m.orderid FROM {rows} AS g CROSS JOIN chains h
    JOIN transfers t ON t.chain = h.name AND t.tx_hash = g.tx_hash AND t.orphaned_at IS NULL
    JOIN addresses a ON a.chain = t.chain AND a.address = t.recipient AND a.role = 'deposit'
    LEFT JOIN matches m ON m.chain = t.chain AND m.tx_hash = t.tx_hash AND m.log_index = t.log_index
    ORDER BY t.chain, t.log_index
    """,
    _HASH,
)
_NAMING = """
    SELECT g.tx_hash, c.namespace, c.orderid FROM {rows} AS g
    JOIN callbacks c ON c.tx_hash = g.told AND c.tx_hash IS NOT NULL AND c.verdict <> 'rejected'
    UNION
    SELECT g.tx_hash, f.namespace, f.orderid FROM {rows} AS g
    JOIN provider_facts f ON f.tx_hash = g.told AND f.tx_hash IS NOT NULL
"""
_TOLD = _HASH | {"told": "text"}
_NAMED = with_rows(_NAMING, _TOLD)
_CREDITED = with_rows(
    f"""
    SELECT o.orderid FROM ({_NAMING}) AS n
    JOIN orders o ON o.namespace = n.namespace AND o.orderid = n.orderid AND o.credited_micros > 0
    WHERE NOT EXISTS (SELECT 1 FROM matches m
        WHERE m.namespace = o.namespace AND m.orderid = o.orderid AND m.tx_hash = n.tx_hash)
    """,
    _TOLD,
)
_ASK = with_rows(
    """
    INSERT INTO named_transactions (tx_hash, look_at) SELECT tx_hash, look_at FROM {rows} AS g WHERE true
    ON CONFLICT (tx_hash) DO NOTHING
    """,
    types_of(named_transactions, ("tx_hash", "look_at")),
)
