"""Own the statements about matched transfers that lost their block, and about those that came back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text, update

from relay.core.facts import Transfer
from relay.core.finality import Lost
from relay.store.rows import TRANSFER_FIELDS, matches, transfers

Key = tuple[str, str]
TransferKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A matched transfer of an order: lost, or reversed and back. `final` is its chain's last final block."""

    key: Key
    moved: Transfer
    lost: Lost
    reversed_micros: int
    final: int | None


def suspects(connection: Connection) -> list[Suspect]:
    """Return the lost transfers of credited orders whose loss was not announced, and the announced ones that are final again."""
    return [_suspect(row) for row in connection.execute(_SUSPECTS).mappings()]


def suspects_of(connection: Connection, key: Key) -> list[Suspect]:
    """Return those of one order."""
    mine = {"namespace": key[0], "orderid": key[1]}
    return [_suspect(row) for row in connection.execute(_SUSPECTS_OF, mine).mappings()]


def standing_micros(connection: Connection, key: Key) -> int:
    """Return what the standing transfers of an order amount to, those aside whose loss was announced."""
    found = connection.scalar(_STANDING, {"namespace": key[0], "orderid": key[1]})
    return int(found or 0)


def note_reversed(connection: Connection, of: Collection[TransferKey], *, micros: int, now: datetime) -> None:
    """Write that the loss of transfers was announced; what was taken back is written beside the first."""
    for place, key in enumerate(sorted(of)):
        connection.execute(_mine(key).values(reversed_at=now, reversed_micros=0 if place else micros))


def note_reinstated(connection: Connection, of: Collection[TransferKey], *, now: datetime) -> None:
    """Write that transfers count again; one that stands under another key now has nothing more to tell."""
    for key in sorted(of):
        connection.execute(_mine(key).values(reversed_at=None, reversed_micros=None))
    connection.execute(_FORGET, {"now": now})


def forget_moved(connection: Connection, *, now: datetime) -> None:
    """Write that lost transfers are settled which are final again under another key."""
    connection.execute(_FORGET, {"now": now})


def _mine(key: TransferKey) -> Any:
    chain, tx_hash, log_index = key
    return update(matches).where(
        matches.c.chain == chain, matches.c.tx_hash == tx_hash, matches.c.log_index == log_index
    )


def _suspect(row: Any) -> Suspect:
    return Suspect(
        key=(row["namespace"], row["orderid"]),
        moved=Transfer(**{name: row[name] for name in _FIELDS}),
        lost=Lost(
            block_number=row["block_number"],
            orphaned_at=row["orphaned_at"],
            back=bool(row["back"]),
            reversed_at=row["reversed_at"],
        ),
        reversed_micros=row["reversed_micros"] or 0,
        final=row["final_number"],
    )


_SAME = "t.chain = m.chain AND t.tx_hash = m.tx_hash AND t.log_index = m.log_index"
# The same transaction pays the same address the same amount, whatever the place of the log in its block.
_TWIN = """EXISTS (
    SELECT 1 FROM transfers b WHERE b.chain = t.chain AND b.tx_hash = t.tx_hash AND b.orphaned_at IS NULL
    AND b.recipient = t.recipient AND b.contract = t.contract
    AND b.amount_micros = t.amount_micros AND b.rest = t.rest"""
_FIELDS = tuple(name for name in TRANSFER_FIELDS if name != "is_final")
_COLUMNS = f"""
    m.namespace, m.orderid, m.reversed_at, m.reversed_micros, t.orphaned_at, h.final_number,
    {", ".join(f"t.{name}" for name in _FIELDS)}
"""


def _listing(mine: str = "") -> Any:
    return text(
        f"""
        SELECT {_COLUMNS}, {_TWIN}) AS back FROM matches m JOIN transfers t ON {_SAME}
        JOIN orders o ON o.namespace = m.namespace AND o.orderid = m.orderid AND o.credited_micros > 0
        LEFT JOIN chains h ON h.name = m.chain
        WHERE m.final_at IS NULL AND m.reversed_at IS NULL AND t.orphaned_at IS NOT NULL {mine}
        UNION ALL
        SELECT {_COLUMNS}, true AS back FROM matches m JOIN transfers t ON {_SAME}
        LEFT JOIN chains h ON h.name = m.chain
        WHERE m.reversed_at IS NOT NULL AND {_TWIN} AND b.is_final) {mine}
        """
    ).columns(
        block_time=transfers.c.block_time.type,
        orphaned_at=transfers.c.orphaned_at.type,
        reversed_at=matches.c.reversed_at.type,
    )


_SUSPECTS, _SUSPECTS_OF = _listing(), _listing("AND m.namespace = :namespace AND m.orderid = :orderid")
_STANDING = text(
    f"""
    SELECT sum(t.amount_micros) FROM matches m JOIN transfers t ON {_SAME}
    WHERE m.namespace = :namespace AND m.orderid = :orderid AND m.reversed_at IS NULL AND t.orphaned_at IS NULL
    """
)
_FORGET = text(
    f"""
    UPDATE matches SET final_at = :now WHERE final_at IS NULL AND reversed_at IS NULL AND EXISTS (
        SELECT 1 FROM transfers t WHERE t.chain = matches.chain AND t.tx_hash = matches.tx_hash
        AND t.log_index = matches.log_index AND t.orphaned_at IS NOT NULL AND {_TWIN} AND b.is_final))
    """
).bindparams(bindparam("now", type_=matches.c.final_at.type))
