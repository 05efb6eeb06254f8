"""Own what nodes say of findings that two of them have to confirm before they are stated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, text, update

from relay.store.bulk import given, types_of, with_rows
from relay.store.rows import testimonies, transfers

Key = tuple[str, str]
TransferKey = tuple[str, str, int]
PHANTOM, REORGED = "phantom_credit", "reorged_out"
DOUBTED = "state IN ('contradicted', 'unanswered')"
_WORDS = {"contradicted": "nodes disagree about", "unanswered": "no second node confirms"}


def ask(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Have nodes asked whether nothing came to addresses, where nobody did before."""
    asked = [{"kind": PHANTOM, "state": "asked", "agree": 0, **row} for row in rows]
    if asked:
        connection.execute(_ASK.on(connection), given(asked))


def forget(connection: Connection, keys: Collection[Key]) -> None:
    """Forget what was asked about credits that are doubted no longer."""
    rows = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in sorted(keys)]
    if rows:
        connection.execute(_FORGET.on(connection), given(rows))


def due(connection: Connection, *, now: datetime, limit: int) -> list[RowMapping]:
    """Return what nodes are to be asked about."""
    query = select(testimonies).where(text("look_at IS NOT NULL"), testimonies.c.look_at <= now)
    return list(connection.execute(query.order_by(testimonies.c.look_at).limit(limit)).mappings())


def note(connection: Connection, key: Key, **columns: Any) -> None:
    """Write what nodes said of a credit without a transfer, or when they are asked again."""
    mine = (testimonies.c.kind == PHANTOM, testimonies.c.namespace == key[0], testimonies.c.orderid == key[1])
    connection.execute(update(testimonies).where(*mine).values(**columns))


def note_reorgs(connection: Connection, doubted: Mapping[Key, Mapping[str, Any]]) -> None:
    """Write which losses nodes do not confirm just now, instead of those that were written before."""
    connection.execute(delete(testimonies).where(testimonies.c.kind == REORGED))
    rows = [
        {"kind": REORGED, "namespace": key[0], "orderid": key[1], "address": "", **row} for key, row in doubted.items()
    ]
    if rows:
        connection.execute(insert(testimonies), rows)


def has_reorgs(connection: Connection) -> bool:
    """Tell whether there are losses that nodes did not confirm when they were asked last."""
    query = select(testimonies.c.kind).where(testimonies.c.kind == REORGED).limit(1)
    return connection.execute(query).first() is not None


def doubts(connection: Connection, *states: str) -> dict[str, str]:
    """Return in words, by chain, what keeps it from being believed: `contradicted` or `unanswered` findings."""
    query = select(testimonies.c.chain, testimonies.c.state, func.count().label("many"))
    # The words of the index as well: SQLite does not see that values which are bound lie within its condition.
    mine = (text(DOUBTED), testimonies.c.state.in_(states))
    rows = connection.execute(query.where(*mine).group_by(testimonies.c.chain, testimonies.c.state))
    found: dict[str, list[str]] = {}
    for chain, state, many in sorted((row.chain, row.state, row.many) for row in rows):
        found.setdefault(chain, []).append(f"{_WORDS[state]} {many} finding{'s' if many > 1 else ''}")
    return {chain: ", ".join(words) for chain, words in found.items()}


def received(connection: Connection, chain: str, address: str, blocks: tuple[int, int]) -> set[TransferKey]:
    """Return the keys of the standing transfers to an address in blocks (first, last, both included)."""
    mine = (transfers.c.chain == chain, transfers.c.recipient == address, transfers.c.orphaned_at.is_(None))
    query = select(transfers.c.chain, transfers.c.tx_hash, transfers.c.log_index)
    rows = connection.execute(query.where(*mine, transfers.c.block_number.between(*blocks)))
    return {(row.chain, row.tx_hash, row.log_index) for row in rows}


_ASKED = ("kind", "namespace", "orderid", "chain", "address", "from_at", "until_at", "state", "agree", "look_at")
_ASK = with_rows(
    f"""
    INSERT INTO testimonies ({", ".join(_ASKED)}) SELECT {", ".join(_ASKED)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (kind, namespace, orderid) DO NOTHING
    """,
    types_of(testimonies, _ASKED),
)
_FORGET = with_rows(
    f"""
    DELETE FROM testimonies WHERE kind = '{PHANTOM}'
        AND (namespace, orderid) IN (SELECT g.namespace, g.orderid FROM {{rows}} AS g)
    """,
    types_of(testimonies, ("namespace", "orderid")),
)
