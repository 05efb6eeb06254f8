"""Own how transfers are joined with orders: what each may belong to is read by the page, and what was decided is written at once.

Who joins by what fits runs under MATCH_LOCK, so that what fits only once is counted by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, select, text

from relay.core.facts import Transfer, TransferKey
from relay.core.hashes import hashes, spellings
from relay.core.matching import LEAD, OPEN, TAIL
from relay.store.bulk import Statement, given, insert_rows, types_of, with_ids, with_rows
from relay.store.engine import Asked, together
from relay.store.rows import TRANSFER_FIELDS, TRANSFER_KEY, chains, matches, orders, transfers

Key = tuple[str, str]

# What orders that wait now are woken for: at a busy address much older money may lie about.
OLDEST = timedelta(days=3)


@dataclass(slots=True)
class Found:
    """What the database knows of a transfer: its recipient in the address book, and the ids of orders that may be meant."""

    transfer: Transfer
    role: str | None
    namespace: str | None
    owner: str | None
    siblings: int
    rivals: int
    named: set[int] = field(default_factory=set)
    near: set[int] = field(default_factory=set)


def due(connection: Connection, *, now: datetime, limit: int) -> list[Transfer]:
    """Return transfers whose order is to be looked for, those that wait longest first."""
    query = (
        select(*(transfers.c[name] for name in TRANSFER_FIELDS))
        .where(text("look_at IS NOT NULL AND orphaned_at IS NULL"), transfers.c.look_at <= now)
        .order_by(transfers.c.look_at)
        .limit(limit)
    )
    return [Transfer(**row) for row in connection.execute(query).mappings()]


def around(connection: Connection, moved: Sequence[Transfer]) -> tuple[list[Found], dict[int, Mapping[str, Any]]]:
    """Return what is known of transfers, and the orders that may be meant, by id, each with `is_paid`."""
    asked = [
        {
            **{name: getattr(one, name) for name in (*TRANSFER_KEY, "recipient", "amount_micros")},
            "since": one.block_time - OPEN - TAIL,
            "until": one.block_time + OPEN + TAIL,
            "latest": one.block_time + LEAD,
        }
        for one in moved
    ]
    named = [
        {"chain": one.chain, "tx_hash": one.tx_hash, "log_index": one.log_index, "told": told}
        for one in moved
        for told in spellings(one.tx_hash)
    ]
    rows, names = together(connection, (_AROUND.on(connection), given(asked)), (_NAMED.on(connection), given(named)))
    found = {one.transfer.key: one for one in map(_found, moved, _in_order(rows, moved))}
    for row in names:
        found[_key_of(row)].named.add(row["id"])
    ids = sorted(set().union(*(one.named | one.near for one in found.values())))
    (claimed,) = together(connection, (_ORDERS.on(connection), given(ids))) if ids else ([],)
    return list(found.values()), {row["id"]: row for row in claimed}


def join(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write which order each transfer belongs to; one that has an order keeps it."""
    if rows:
        together(connection, (_JOIN.on(connection), given(rows)))


def taking(connection: Connection, rows: Sequence[tuple[TransferKey, Key]], *, now: datetime) -> list[Asked]:
    """Return the statements that give transfers to orders whose credit stands on them; a transfer that has an order meanwhile is an error."""
    if not rows:
        return []
    keys = [dict(zip(TRANSFER_KEY, transfer, strict=True)) for transfer, _ in rows]
    taken = [
        key | {"namespace": order[0], "orderid": order[1], "rule": "tx", "flags": "", "matched_at": now}
        for key, (_, order) in zip(keys, rows, strict=True)
    ]
    looked = [key | {"look_at": None, "unmatched": None} for key in keys]
    return [_TAKE.asked(connection, taken), _LOOKED.asked(connection, looked)]


def claim(connection: Connection, transfer: TransferKey, order: Key, *, now: datetime) -> bool:
    """Give a final transfer without an order to one that a person's word has made; False when it has an order already."""
    key = dict(zip(TRANSFER_KEY, transfer, strict=True))
    row = key | {"namespace": order[0], "orderid": order[1], "rule": "person", "flags": "", "matched_at": now}
    if not connection.execute(_JOIN.on(connection), given([row])).rowcount:
        return False
    connection.execute(_NOTE_FINAL.on(connection), given([key], now=now))
    connection.execute(_LOOKED.on(connection), given([key | {"look_at": None, "unmatched": None}]))
    return True


def looked(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write when the orders of transfers are looked for next, and why they have none."""
    together(connection, (_LOOKED.on(connection), given(rows)))


def wake(connection: Connection, sources: Collection[str], *, now: datetime, limit: int) -> None:
    """Have the transfers looked at that orders which await the chain may be waiting for."""
    waiting = select(orders).where(text("state = 'confirming'"), orders.c.source.in_(sorted(sources)))
    rows = list(connection.execute(waiting.order_by(orders.c.updated_at.desc()).limit(limit)).mappings())
    if not rows:
        return
    keys = [{"namespace": row["namespace"], "orderid": row["orderid"]} for row in rows]
    told, owned = together(connection, (_TOLD.on(connection), given(keys)), (_OWNED.on(connection), given(keys)))
    recipients = {row["address"] for row in rows if row["address"] is not None} | {row["address"] for row in owned}
    named = hashes(row["tx_hash"] for row in told)
    names = connection.scalars(select(chains.c.name)).all()
    # The key of a transfer begins with its chain: by a hash alone all of them would be gone through.
    by_hash = [{"chain": chain, "tx_hash": tx_hash} for chain, tx_hash in product(names, sorted(named))]
    for statement, asked in ((_WAKE_TO, [{"recipient": one} for one in sorted(recipients)]), (_WAKE, by_hash)):
        if asked:
            together(connection, (statement.on(connection), given(asked, now=now, until=now - OLDEST)))


def newly_final(connection: Connection, *, limit: int) -> list[RowMapping]:
    """Return matches whose transfer has become final, and whose order was not judged by it yet."""
    same = and_(*(transfers.c[name] == matches.c[name] for name in TRANSFER_KEY))
    query = (
        select(matches)
        .join(transfers, same)
        .where(text("final_at IS NULL"), transfers.c.is_final)
        .order_by(matches.c.matched_at)
        .limit(limit)
    )
    return list(connection.execute(query).mappings())


def note_final(connection: Connection, rows: Sequence[RowMapping], *, now: datetime) -> None:
    """Write that the orders of matches were judged by their final transfers."""
    together(
        connection,
        (_NOTE_FINAL.on(connection), given([{name: row[name] for name in TRANSFER_KEY} for row in rows], now=now)),
    )


def of_order(connection: Connection, namespace: str, orderid: str) -> list[RowMapping]:
    """Return the transfers of an order, oldest first, each with the rule that matched it and its chain's head."""
    same = and_(*(transfers.c[name] == matches.c[name] for name in TRANSFER_KEY))
    query = (
        select(transfers, matches.c.rule, matches.c.flags, matches.c.reversed_at, chains.c.head_number)
        .select_from(matches.join(transfers, same).outerjoin(chains, chains.c.name == transfers.c.chain))
        .where(matches.c.namespace == namespace, matches.c.orderid == orderid)
        .order_by(transfers.c.block_number, transfers.c.log_index)
    )
    return list(connection.execute(query).mappings())


def _key_of(row: Mapping[str, Any]) -> TransferKey:
    return (row["chain"], row["tx_hash"], row["log_index"])


def _in_order(rows: Iterable[Mapping[str, Any]], moved: Sequence[Transfer]) -> list[Mapping[str, Any]]:
    by_key = {_key_of(row): row for row in rows}
    return [by_key[one.key] for one in moved]


def _found(moved: Transfer, row: Mapping[str, Any]) -> Found:
    names = [name for name in row if name.startswith("near_") and row[name] is not None]
    return Found(
        transfer=moved,
        role=row["role"],
        namespace=row["namespace"],
        owner=row["owner"],
        siblings=row["siblings"],
        rivals=row["rivals"],
        near={row[name] for name in names},
    )


def _newest(condition: str, name: str, count: int) -> str:
    """Return columns with the ids of the newest orders of a kind that were there in time: enough to tell one from several.

    Those of other chains are left out here, where they would take the places of some that the transfer may be meant for.
    """
    return ",\n".join(
        f"""(SELECT i.id FROM orders i WHERE {condition} AND i.created_at <= g.latest
                AND (i.chain = g.chain OR i.chain IS NULL)
            ORDER BY i.id DESC LIMIT 1 OFFSET {at}) AS near_{name}_{at}"""
        for at in range(count)
    )


_HERE = "i.address = g.recipient AND i.address IS NOT NULL"
_AMOUNT = "i.amount_micros BETWEEN g.amount_micros - 9999 AND g.amount_micros + 9999"
_STANDING = "r.look_at IS NOT NULL AND r.orphaned_at IS NULL"
# Another transfer than the one that is asked about.
_OTHER = "NOT (r.chain = g.chain AND r.tx_hash = g.tx_hash AND r.log_index = g.log_index)"
# What counts as a rival is judged row by row: an index over times would find all the transfers of two days.
_AROUND = with_rows(
    f"""
    SELECT g.chain, g.tx_hash, g.log_index, a.role, a.namespace, a.owner,
        (SELECT count(*) FROM transfers r JOIN addresses d
            ON d.chain = r.chain AND d.address = r.recipient AND d.role IN ('deposit', 'provider')
            WHERE r.chain = g.chain AND r.tx_hash = g.tx_hash AND r.log_index <> g.log_index AND r.orphaned_at IS NULL
        ) AS siblings,
        (SELECT count(CASE WHEN r.chain = g.chain AND r.block_time BETWEEN g.since AND g.until AND {_OTHER} THEN 1 END)
            FROM transfers r WHERE r.recipient = g.recipient AND r.amount_micros = g.amount_micros AND {_STANDING}
        ) AS rivals,
        {_newest(_HERE, "here", 3)},
        {_newest(f"{_HERE} AND i.expected_micros = g.amount_micros", "asked", 3)},
        {_newest(f"i.user_ref = a.owner AND i.namespace = a.namespace AND i.address IS NULL AND {_AMOUNT}", "user", 4)}
    FROM {{rows}} AS g LEFT JOIN addresses a ON a.chain = g.chain AND a.address = g.recipient
    """,
    types_of(transfers, (*TRANSFER_KEY, "recipient", "amount_micros"))
    | dict.fromkeys(("since", "until", "latest"), "timestamptz"),
)
_NAMED_TYPES = types_of(transfers, TRANSFER_KEY) | {"told": "text"}
_NAMED = with_rows(
    """
    SELECT g.chain, g.tx_hash, g.log_index, o.id FROM {rows} AS g
    JOIN callbacks c ON c.tx_hash = g.told AND c.verdict <> 'rejected'
    JOIN orders o ON o.namespace = c.namespace AND o.orderid = c.orderid
    UNION
    SELECT g.chain, g.tx_hash, g.log_index, o.id FROM {rows} AS g
    JOIN provider_facts f ON f.tx_hash = g.told
    JOIN orders o ON o.namespace = f.namespace AND o.orderid = f.orderid
    """,
    _NAMED_TYPES,
)
_ORDERS = with_ids(
    """
    SELECT o.id, o.namespace, o.orderid, o.source, o.chain, o.address, o.user_ref, o.expected_micros, o.amount_micros,
        o.created_at, o.expires_at, EXISTS (
            SELECT 1 FROM matches m
            JOIN transfers t ON t.chain = m.chain AND t.tx_hash = m.tx_hash AND t.log_index = m.log_index
            WHERE m.namespace = o.namespace AND m.orderid = o.orderid AND t.orphaned_at IS NULL) AS is_paid
    FROM {rows} AS g JOIN orders o ON o.id = g.id
    """,
    created_at=orders.c.created_at.type,
    expires_at=orders.c.expires_at.type,
)
_MATCHED = ("chain", "tx_hash", "log_index", "namespace", "orderid", "rule", "flags", "matched_at")
_TAKE = insert_rows(matches, *_MATCHED)
# The condition of WHERE keeps SQLite from reading ON as the beginning of a join.
_JOIN = with_rows(
    f"""
    INSERT INTO matches ({", ".join(_MATCHED)}) SELECT {", ".join(_MATCHED)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (chain, tx_hash, log_index) DO NOTHING
    """,
    types_of(matches, _MATCHED),
)


def _updating(assignments: str, names: Sequence[str], condition: str = "true") -> Statement:
    same = " AND ".join(f"transfers.{name} = g.{name}" for name in names if name not in ("look_at", "unmatched"))
    return with_rows(
        f"UPDATE transfers SET {assignments} FROM {{rows}} AS g WHERE {same} AND {condition}",
        types_of(transfers, names),
    )


_LOOKED = _updating("look_at = g.look_at, unmatched = g.unmatched", (*TRANSFER_KEY, "look_at", "unmatched"))
_ASLEEP = """transfers.look_at > :now AND transfers.look_at IS NOT NULL AND transfers.orphaned_at IS NULL
    AND transfers.block_time > :until"""
_WAKE = _updating("look_at = :now", ("chain", "tx_hash"), _ASLEEP)
_WAKE_TO = _updating("look_at = :now", ("recipient",), _ASLEEP)
_NOTE_FINAL = with_rows(
    """
    UPDATE matches SET final_at = :now FROM {rows} AS g
    WHERE matches.chain = g.chain AND matches.tx_hash = g.tx_hash AND matches.log_index = g.log_index
    """,
    types_of(matches, TRANSFER_KEY),
)
_OWN = types_of(orders, ("namespace", "orderid"))
_TOLD = with_rows(
    """
    SELECT c.tx_hash FROM {rows} AS g
    JOIN callbacks c ON c.namespace = g.namespace AND c.orderid = g.orderid AND c.tx_hash IS NOT NULL
    UNION
    SELECT f.tx_hash FROM {rows} AS g
    JOIN provider_facts f ON f.namespace = g.namespace AND f.orderid = g.orderid AND f.tx_hash IS NOT NULL
    """,
    _OWN,
)
_OWNED = with_rows(
    """
    SELECT a.address FROM {rows} AS g JOIN orders o ON o.namespace = g.namespace AND o.orderid = g.orderid
    JOIN addresses a ON a.owner = o.user_ref AND a.namespace = o.namespace AND o.address IS NULL
    """,
    _OWN,
)
