"""Own what nodes say of findings that two of them have to confirm before they are stated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, text, update

from relay.store.bulk import Statement, given, types_of, with_rows
from relay.store.rows import testimonies, transfers

Key = tuple[str, str]
TransferKey = tuple[str, str, int]
# Before all that was asked about; a release before this one did not write when it asked.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
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


def doubted_reorgs(connection: Connection) -> dict[Key, datetime]:
    """Return when nodes were asked last about the losses that they did not confirm, by order."""
    query = select(testimonies).where(testimonies.c.kind == REORGED)
    return {(row["namespace"], row["orderid"]): row["from_at"] or NEVER for row in connection.execute(query).mappings()}


def note_reorgs(
    connection: Connection, doubted: Mapping[Key, Mapping[str, Any]], *, settled: Collection[Key], now: datetime
) -> None:
    """Write which losses nodes do not confirm just now, and forget the `settled` ones."""
    gone = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in sorted({*settled, *doubted})]
    if gone:
        connection.execute(_FORGET_REORGS.on(connection), given(gone))
    rows = [
        {"kind": REORGED, "namespace": key[0], "orderid": key[1], "address": "", "from_at": now, **row}
        for key, row in doubted.items()
    ]
    if rows:
        connection.execute(insert(testimonies), rows)


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


def _forgetting(kind: str) -> Statement:
    return with_rows(
        f"""
        DELETE FROM testimonies WHERE kind = '{kind}'
            AND (namespace, orderid) IN (SELECT g.namespace, g.orderid FROM {{rows}} AS g)
        """,
        types_of(testimonies, ("namespace", "orderid")),
    )


_FORGET, _FORGET_REORGS = _forgetting(PHANTOM), _forgetting(REORGED)
