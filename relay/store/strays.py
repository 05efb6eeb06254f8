"""Own the statements about money that is no order's: what changed about it, what is known of it, and the breaks that it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, text

from relay.core.facts import Transfer
from relay.core.strays import Stray
from relay.store.bulk import given, types_of, with_ids, with_rows
from relay.store.chain_findings import OWN_ROLES
from relay.store.engine import together
from relay.store.rows import TRANSFER_FIELDS, TRANSFER_KEY, balances, breaks, dirty_strays, transfers

MoveKey = tuple[str, str, int]  # chain, transaction, log
PointKey = tuple[str, str, str, int]  # chain, contract, address, first block
# Transfers to one address that a change of its role is looked at for.
MOST_MOVES = 1_000


class Changed(NamedTuple):
    """Something that is no order's and of which something changed."""

    kind: str
    chain: str
    key: str


def take(connection: Connection, *, now: datetime, limit: int) -> list[Changed]:
    """Take what changed, or whose time has come, from the log; the caller reads facts in the same transaction."""
    is_due = or_(dirty_strays.c.due_at.is_(None), dirty_strays.c.due_at <= now)
    ids = list(connection.scalars(select(dirty_strays.c.id).where(is_due).order_by(dirty_strays.c.id).limit(limit)))
    if not ids:
        return []
    rows = connection.execute(_TAKE.on(connection), given(ids))
    return sorted({Changed(row.kind, row.chain, row.key) for row in rows})


def come_back(connection: Connection, rows: Iterable[tuple[Changed, datetime]]) -> None:
    """Have things looked at again at a moment."""
    values = [{**changed._asdict(), "due_at": moment} for changed, moment in rows]
    if values:
        connection.execute(insert(dirty_strays), values)


def moves_to(connection: Connection, chain: str, address: str) -> list[MoveKey]:
    """Return the transfers out of our addresses to an address whose role has changed."""
    query = select(transfers.c.chain, transfers.c.tx_hash, transfers.c.log_index).where(
        transfers.c.chain == chain, transfers.c.recipient == address, transfers.c.unmatched.is_not(None)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query.limit(MOST_MOVES))]


def strays(connection: Connection, keys: Collection[MoveKey]) -> list[Stray]:
    """Return transfers with what the book says of both their ends."""
    asked = [{"chain": chain, "tx_hash": tx_hash, "log_index": log} for chain, tx_hash, log in sorted(keys)]
    (rows,) = together(connection, (_STRAYS.on(connection), given(asked)))
    return [_stray(row) for row in rows]


def dust(connection: Connection, chain: str, address: str) -> RowMapping:
    """Return how many worthless transfers came to an address (`count`), and the latest (`tx_hash`)."""
    mine = (transfers.c.chain == chain, transfers.c.recipient == address, transfers.c.amount_micros == 0)
    standing = (transfers.c.is_final, transfers.c.orphaned_at.is_(None))
    last = select(transfers.c.tx_hash).where(*mine, *standing).order_by(transfers.c.block_number.desc()).limit(1)
    query = select(func.count().label("count"), last.scalar_subquery().label("tx_hash")).where(*mine, *standing)
    return connection.execute(query).mappings().one()


def intervals(connection: Connection, keys: Collection[PointKey]) -> list[RowMapping | Mapping[str, Any]]:
    """Return for measured balances the one before each, and what final transfers moved between: base units in two parts.

    `is_filled` tells that all blocks between were read for the address. The first of an address has none before it, and is left out.
    """
    asked = [dict(zip(_POINT, key, strict=True)) for key in sorted(keys)]
    (rows,) = together(connection, (_INTERVALS.on(connection), given(asked)))
    return list(rows)


def open_gaps(connection: Connection, kinds: Collection[str], *, limit: int) -> list[PointKey]:
    """Return the balances whose gap is still open: late transfers may close it.

    Of more than `limit` any, by chance: the same ones each time would leave the others open for ever.
    """
    query = select(breaks.c.chain, breaks.c.subject).where(
        text("state = 'open' AND chain IS NOT NULL"), breaks.c.kind.in_(sorted(kinds))
    )
    rows = connection.execute(query.order_by(func.random()).limit(limit))
    return [point_key(row.chain, row.subject) for row in rows]


def known(connection: Connection, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return breaks by id, those that never were left out."""
    (rows,) = together(connection, (_KNOWN.on(connection), given([{"id": one} for one in sorted(ids)])))
    return {row["id"]: row for row in rows}


def move_key(chain: str, key: str) -> MoveKey:
    """Read the key of a transfer."""
    tx_hash, _, log = key.rpartition("/")
    return (chain, tx_hash, int(log))


def point_key(chain: str, key: str) -> PointKey:
    """Read the key of a balance."""
    contract, address, first = key.split("/")
    return (chain, contract, address, int(first))


def _stray(row: Mapping[str, Any]) -> Stray:
    return Stray(
        transfer=Transfer(**{name: row[name] for name in TRANSFER_FIELDS}),
        is_orphaned=row["orphaned_at"] is not None,
        **{name: row[name] for name in ("unmatched", "role", "namespace", "owner", "sender_role", "sender_namespace")},
    )


_POINT = ("chain", "contract", "address", "first_block")
_TAKE = with_ids("DELETE FROM dirty_strays WHERE id IN (SELECT id FROM {rows} AS g) RETURNING kind, chain, key")
_STRAYS = with_rows(
    f"""
    SELECT {", ".join(f"t.{name}" for name in TRANSFER_FIELDS)}, t.orphaned_at, t.unmatched, r.role, r.namespace, r.owner,
        s.role AS sender_role, s.namespace AS sender_namespace
    FROM {{rows}} AS g
    JOIN transfers t ON t.chain = g.chain AND t.tx_hash = g.tx_hash AND t.log_index = g.log_index
    LEFT JOIN addresses r ON r.chain = t.chain AND r.address = t.recipient
    LEFT JOIN addresses s ON s.chain = t.chain AND s.address = t.sender
    """,
    types_of(transfers, TRANSFER_KEY),
    block_time=transfers.c.block_time.type,
    orphaned_at=transfers.c.orphaned_at.type,
    is_final=transfers.c.is_final.type,
)


def _summed(side: str, part: str, name: str) -> str:
    return f"""CAST(coalesce((SELECT sum(t.{part}) FROM transfers t WHERE t.chain = g.chain AND t.{side} = g.address
            AND t.contract = g.contract AND t.block_number > p.last_block AND t.block_number <= b.first_block
            AND t.is_final AND t.orphaned_at IS NULL), 0) AS BIGINT) AS {name}"""


_OURS = ", ".join(f"'{role}'" for role in OWN_ROLES)
_INTERVALS = with_rows(
    f"""
    SELECT g.chain, g.contract, g.address, g.first_block, p.last_block, p.units AS before, b.units AS after,
        s.next_block > s.until_block AS is_filled,
        {_summed("recipient", "amount_micros", "received_micros")}, {_summed("recipient", "rest", "received_rest")},
        {_summed("sender", "amount_micros", "sent_micros")}, {_summed("sender", "rest", "sent_rest")}
    FROM {{rows}} AS g
    JOIN addresses a ON a.chain = g.chain AND a.address = g.address AND a.role IN ({_OURS})
    JOIN address_scans s ON s.chain = g.chain AND s.address = g.address
    JOIN balances b ON b.chain = g.chain AND b.contract = g.contract AND b.address = g.address
        AND b.first_block = g.first_block
    JOIN balances p ON p.chain = g.chain AND p.contract = g.contract AND p.address = g.address
        AND p.first_block = (SELECT max(o.first_block) FROM balances o WHERE o.chain = g.chain
            AND o.contract = g.contract AND o.address = g.address AND o.first_block < g.first_block)
    """,
    types_of(balances, _POINT),
)
_KNOWN = with_rows(
    """
    SELECT b.id, b.kind, b.state, b.namespace, b.orderid, b.evidence, b.amount_micros, b.severity, b.resolved_by
    FROM {rows} AS g JOIN breaks b ON b.id = g.id
    """,
    types_of(breaks, ("id",)),
)
