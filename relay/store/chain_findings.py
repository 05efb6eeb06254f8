"""Own what was found on chains: transfers and events of tokens, which addresses are watched, how nodes behaved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, Table, func, select, text, update

from relay.core.facts import Transfer
from relay.core.logs import TokenEvent
from relay.store.bulk import Statement, given, types_of, with_rows
from relay.store.engine import together
from relay.store.rows import address_scans, addresses, chain_nodes, token_events, transfers
from relay.store.tables.orders import UNWATCHED

# What a transfer that is read again keeps: final it stays, and its order was looked for already.
_KEPT = {"is_final", "look_at", "unmatched"}
# An outsider's address is known, but what it does is not our business. What is on a provider's address is not our money.
OWN_ROLES = ("deposit", "collection")


def keep(
    connection: Connection, found: Iterable[Transfer], events: Iterable[TokenEvent], *, final: int, now: datetime
) -> None:
    """Write what was read in canonical blocks; a transfer that comes again stands where it is now.

    What stands in a block up to `final` is final.
    """
    for rows, statement in ((found, _KEEP_TRANSFERS), (events, _KEEP_EVENTS)):
        values = [asdict(one) | _seen(now) | {"is_final": one.block_number <= final} for one in rows]
        if values:
            together(connection, (statement.on(connection), given(values)))


def _seen(now: datetime) -> dict[str, object]:
    return {"orphaned_at": None, "seen_at": now, "look_at": now, "unmatched": None}


def known_keys(connection: Connection, chain: str, first: int, last: int) -> set[tuple[str, int]]:
    """Return the keys of the standing transfers in blocks `first` to `last`."""
    query = select(transfers.c.tx_hash, transfers.c.log_index).where(
        transfers.c.chain == chain, transfers.c.block_number.between(first, last), transfers.c.orphaned_at.is_(None)
    )
    return {(row.tx_hash, row.log_index) for row in connection.execute(query)}


def unread(connection: Connection, chain: str, *, limit: int) -> list[RowMapping]:
    """Return addresses to be watched that no scan knows yet, with `created_at`."""
    query = (
        select(addresses.c.address, addresses.c.created_at)
        .where(addresses.c.chain == chain, text(UNWATCHED))
        .order_by(addresses.c.address)
        .limit(limit)
    )
    return list(connection.execute(query).mappings())


def enrol(connection: Connection, chain: str, first_blocks: Mapping[str, int], *, until: int) -> None:
    """Watch addresses from now on, and from a block on that is still to be read for them, up to `until`."""
    rows = [
        {"chain": chain, "address": address, "first_block": first, "next_block": first, "until_block": until}
        for address, first in first_blocks.items()
    ]
    if rows:
        together(connection, (_ENROL.on(connection), given(rows)), (_MARK.on(connection), given(rows)))


def watched(connection: Connection, chain: str, *, most: int) -> frozenset[str] | None:
    """Return the addresses that every scan of a chain asks for, None when they are more than `most`."""
    query = select(address_scans.c.address).where(address_scans.c.chain == chain).limit(most + 1)
    found = frozenset(connection.scalars(query))
    return found if len(found) <= most else None


def watched_among(connection: Connection, chain: str, named: Collection[str]) -> frozenset[str]:
    """Return which of some addresses are watched."""
    asked = [{"chain": chain, "address": one} for one in sorted(named)]
    (rows,) = together(connection, (_AMONG.on(connection), given(asked)))
    return frozenset(row["address"] for row in rows)


@dataclass(frozen=True, slots=True)
class Behind:
    """The blocks that are still to be read for new addresses; no `addresses` when they are too many to be named."""

    first: int
    last: int
    addresses: frozenset[str] | None


def to_fill(connection: Connection, chain: str, *, most: int) -> Behind | None:
    """Return which earlier blocks are still to be read, None when there are none; addresses are named up to `most`."""
    behind = (address_scans.c.chain == chain, address_scans.c.next_block <= address_scans.c.until_block)
    query = select(address_scans).where(*behind).order_by(address_scans.c.next_block).limit(most + 1)
    rows = connection.execute(query).mappings().all()
    if not rows:
        return None
    if len(rows) <= most:
        last = max(row["until_block"] for row in rows)
        return Behind(rows[0]["next_block"], last, frozenset(row["address"] for row in rows))
    last = connection.scalars(select(func.max(address_scans.c.until_block)).where(*behind)).one()
    return Behind(rows[0]["next_block"], last, None)


def filled(connection: Connection, chain: str, *, through: int) -> None:
    """Write that the blocks up to `through` were read for the addresses of `to_fill`."""
    behind = (address_scans.c.chain == chain, address_scans.c.next_block <= address_scans.c.until_block)
    connection.execute(
        update(address_scans).where(*behind, address_scans.c.next_block <= through).values(next_block=through + 1)
    )


def nodes_of(connection: Connection, chain: str) -> dict[str, RowMapping]:
    """Return how the nodes of a chain behaved, by name."""
    query = select(chain_nodes).where(chain_nodes.c.chain == chain)
    return {row["node"]: row for row in connection.execute(query).mappings()}


def note_node(
    connection: Connection,
    chain: str,
    node: str,
    *,
    now: datetime,
    failures: int = 0,
    closed_until: datetime | None = None,
    error: str | None = None,
    head_number: int | None = None,
) -> None:
    """Write how a node behaved just now."""
    values = {
        "chain": chain,
        "node": node,
        "failures": failures,
        "closed_until": closed_until,
        "error": error,
        "head_number": head_number,
        "seen_at": now,
    }
    together(connection, (_NOTE_NODE.on(connection), given([values])))


def _upsert(table: Table, key: Sequence[str]) -> Statement:
    names = [column.name for column in table.columns]
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in {*key, *_KEPT})
    sticky = f"is_final = {table.name}.is_final OR excluded.is_final, " if "is_final" in names else ""
    # The condition of WHERE keeps SQLite from reading ON as the beginning of a join.
    return with_rows(
        f"""
        INSERT INTO {table.name} ({", ".join(names)}) SELECT {", ".join(names)} FROM {{rows}} AS g WHERE true
        ON CONFLICT ({", ".join(key)}) DO UPDATE SET {sticky}{changed}
        """,
        types_of(table, names),
    )


_KEEP_TRANSFERS = _upsert(transfers, ("chain", "tx_hash", "log_index"))
_KEEP_EVENTS = _upsert(token_events, ("chain", "tx_hash", "log_index"))
_NOTE_NODE = _upsert(chain_nodes, ("chain", "node"))
_SCANNED = types_of(address_scans, ("chain", "address", "first_block", "next_block", "until_block"))
_ENROL = with_rows(
    f"""
    INSERT INTO address_scans ({", ".join(_SCANNED)}) SELECT {", ".join(_SCANNED)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (chain, address) DO NOTHING
    """,
    _SCANNED,
)
_NAMED = types_of(addresses, ("chain", "address"))
_MARK = with_rows(
    """
    UPDATE addresses SET is_watched = true
    WHERE (chain, address) IN (SELECT g.chain, g.address FROM {rows} AS g)
    """,
    _NAMED,
)
_AMONG = with_rows(
    "SELECT s.address FROM {rows} AS g JOIN address_scans s ON s.chain = g.chain AND s.address = g.address",
    _NAMED,
)
