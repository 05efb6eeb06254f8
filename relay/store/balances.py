"""Own what addresses held: measured points in ranges, readings that wait for finality, and what moved between two points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, text

from relay.core.balances import MOVES_WITHOUT_TRANSFER, NOTHING, Moved, Point, Window
from relay.core.chains import Token
from relay.core.logs import Header, TokenEvent
from relay.store.bulk import given, types_of, with_rows
from relay.store.chain_findings import OWN_ROLES
from relay.store.engine import together
from relay.store.rows import address_scans, addresses, balance_readings, balances, token_events

Key = tuple[str, str]  # contract, address


def due(
    connection: Connection, chain: str, contract: str, *, final: int, cut: int, before: datetime, limit: int
) -> list[str]:
    """Return the addresses whose balance is to be measured, those that never were first.

    One is due when it was never measured, not since block `cut`, or when it
    or its token moved up to block `final` since it was measured, and that was `before` a moment.
    """
    asked = {
        "chain": chain,
        "contract": contract,
        "final": final,
        "cut": cut,
        "before": before,
        "limit": limit,
        "roles": OWN_ROLES,
    }
    return [row.address for row in connection.execute(_DUE, asked)]


def keep(connection: Connection, chain: str, block: Header, units: Mapping[Key, int], *, now: datetime) -> None:
    """Write what was measured at a final block.

    A point like the last one extends its range when nothing moved between the two; any other begins a range.
    """
    rows = [
        {"chain": chain, "contract": contract, "address": address, "block": block.number, "units": str(held)}
        for (contract, address), held in units.items()
    ]
    if not rows:
        return
    (found,) = together(connection, (_BEFORE.on(connection), given(rows)))
    before = {(row["contract"], row["address"]): row for row in found}
    fresh, again = [], []
    for row in rows:
        last = before.get((str(row["contract"]), str(row["address"])))
        stored = row | {"hash": block.hash, "now": now}
        if last is None or (last["last_block"] < block.number and (last["units"] != row["units"] or last["moved"])):
            fresh.append(stored)
        elif last["last_block"] < block.number:
            again.append(stored)
    for statement, changed in ((_BEGIN, fresh), (_EXTEND, again)):
        if changed:
            together(connection, (statement.on(connection), given(changed)))


def hold(connection: Connection, chain: str, block: Header, units: Mapping[Key, int], *, now: datetime) -> None:
    """Keep what was told of a block that is not final yet."""
    rows = [
        {
            "chain": chain,
            "contract": contract,
            "address": address,
            "block_number": block.number,
            "block_hash": block.hash,
            "units": str(held),
            "read_at": now,
        }
        for (contract, address), held in units.items()
    ]
    if rows:
        connection.execute(insert(balance_readings), rows)


def held(connection: Connection, chain: str, *, final: int) -> dict[int, dict[str, dict[Key, int]]]:
    """Return the readings whose block number is final by now: units by block number, hash, and key."""
    query = select(balance_readings).where(balance_readings.c.chain == chain, balance_readings.c.block_number <= final)
    found: dict[int, dict[str, dict[Key, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in connection.execute(query).mappings():
        found[row["block_number"]][row["block_hash"]][row["contract"], row["address"]] = int(row["units"])
    return found


def release(connection: Connection, chain: str, *, final: int) -> None:
    """Forget the readings whose block number is final by now."""
    mine = (balance_readings.c.chain == chain, balance_readings.c.block_number <= final)
    connection.execute(delete(balance_readings).where(*mine))


def lines(
    connection: Connection, chains: Collection[str], *, after: int, limit: int, address: str | None = None
) -> list[RowMapping]:
    """Return addresses that belong into the proof, behind the row `after`: `id`, `chain`, `address`, `role`, `is_filled`."""
    chain = addresses.c.chain
    joined = addresses.outerjoin(
        address_scans,
        (address_scans.c.chain == addresses.c.chain) & (address_scans.c.address == addresses.c.address),
    )
    is_filled = (address_scans.c.next_block > address_scans.c.until_block).label("is_filled")
    query = (
        select(addresses.c.id, addresses.c.chain, addresses.c.address, addresses.c.role, is_filled)
        .select_from(joined)
        .where(addresses.c.role.in_(OWN_ROLES), addresses.c.id > after)
        .order_by(addresses.c.id)
        .limit(limit)
    )
    if address is not None:
        return list(connection.execute(query.where(chain.in_(chains), addresses.c.address == address)).mappings())
    # By the rows' ids: a page that were read by its chains' index would sort what is left of the book.
    query = query.where(func.coalesce(chain, "").in_(chains))
    return list(connection.execute(query).mappings())


def points(
    connection: Connection, chain: str, keys: Iterable[Key], *, start: int, end: int | None
) -> dict[Key, tuple[Point | None, Point | None]]:
    """Return for each key the last point up to block `start`, or else the first one after it, and the first from `end` on.

    Without an `end` the second is the last point of all.
    """
    rows = [
        {"chain": chain, "contract": contract, "address": address, "opens": start, "closes": end}
        for contract, address in keys
    ]
    lows = together(connection, (_LOW.on(connection), given(rows)))[0]
    highs = together(connection, (_HIGH.on(connection), given(rows)))[0]
    low = {(row["contract"], row["address"]): _low(row, start) for row in lows}
    high = {(row["contract"], row["address"]): _high(row, end) for row in highs}
    return {key: (low.get(key), high.get(key)) for key in {*low, *high}}


def moved(
    connection: Connection, chain: str, windows: Mapping[Key, Window], tokens: Mapping[str, Token]
) -> dict[Key, list[Moved]]:
    """Return what final transfers moved before, within and after the windows of keys, between their points."""
    rows = [
        {
            "chain": chain,
            "contract": contract,
            "address": address,
            "low": window.low.block,
            "opens": window.first,
            "closes": window.first if window.last is None else window.last,
            "high": window.first if window.high is None else window.high.block,
        }
        for (contract, address), window in windows.items()
        if window.low is not None
    ]
    sums: dict[Key, list[list[int]]] = defaultdict(lambda: [[0, 0], [0, 0], [0, 0]])
    for side, statement in enumerate((_RECEIVED, _SENT)):
        for row in together(connection, (statement.on(connection), given(rows)))[0] if rows else ():
            token = tokens[row["contract"]]
            units = token.join(int(row["micros"]), 0) + int(row["rest"])
            sums[row["contract"], row["address"]][row["part"]][side] += units
    return {key: [Moved(*part) for part in sums[key]] if key in sums else [NOTHING] * 3 for key in windows}


def events(connection: Connection, chain: str, *, after: int) -> list[TokenEvent]:
    """Return the final events of tokens that move money without a transfer, in the blocks behind `after`."""
    names = ("chain", "tx_hash", "log_index", "block_number", "block_hash", "contract", "kind", "account", "data")
    query = (
        select(token_events)
        .where(
            token_events.c.chain == chain,
            token_events.c.block_number > after,
            token_events.c.kind.in_(MOVES_WITHOUT_TRANSFER),
            token_events.c.is_final,
            token_events.c.orphaned_at.is_(None),
        )
        .order_by(token_events.c.block_number, token_events.c.log_index)
    )
    return [TokenEvent(**{name: row[name] for name in names}) for row in connection.execute(query).mappings()]


OUTFLOWS = ("collection", "external", "unexplained_outflow")


def outflows(
    connection: Connection, *, start: datetime, end: datetime, classes: Collection[str] = (), limit: int = 500
) -> Sequence[RowMapping]:
    """Return the final transfers out of our addresses in blocks of a time, with `class`; only some classes when named."""
    asked = {"start": start, "end": end, "roles": OWN_ROLES, "limit": limit}
    rows = connection.execute(_OUTFLOWS, asked | {"classes": list(classes) or [*OUTFLOWS]})
    return rows.mappings().all()


def _low(row: Mapping[str, Any], start: int) -> Point:
    return Point(row["last_block"] if row["last_block"] <= start else row["first_block"], int(row["units"]))


def _high(row: Mapping[str, Any], end: int | None) -> Point:
    return Point(
        row["first_block"] if end is not None and row["first_block"] >= end else row["last_block"], int(row["units"])
    )


_TIME = balances.c.checked_at.type
_MINE = "b.chain = g.chain AND b.contract = g.contract AND b.address = g.address"
_OTHER = "o.chain = g.chain AND o.contract = g.contract AND o.address = g.address"
_STANDS = "t.is_final AND t.orphaned_at IS NULL"
_TYPES = types_of(balances, ("chain", "contract", "address"))

_DUE = text(
    f"""
    SELECT a.address FROM addresses a
    JOIN address_scans s ON s.chain = a.chain AND s.address = a.address
    LEFT JOIN balances b ON b.chain = a.chain AND b.contract = :contract AND b.address = a.address
        AND b.first_block = (SELECT max(o.first_block) FROM balances o
            WHERE o.chain = a.chain AND o.contract = :contract AND o.address = a.address)
    WHERE a.chain = :chain AND a.role IN :roles AND NOT EXISTS (SELECT 1 FROM balance_readings r
            WHERE r.chain = a.chain AND r.contract = :contract AND r.address = a.address)
        AND (b.last_block IS NULL OR b.last_block < :cut OR b.last_block < :final AND b.checked_at < :before AND (
            EXISTS (SELECT 1 FROM transfers t WHERE t.chain = a.chain AND t.recipient = a.address
                AND t.block_number > b.last_block AND t.contract = :contract AND {_STANDS})
            OR EXISTS (SELECT 1 FROM transfers t WHERE t.chain = a.chain AND t.sender = a.address
                AND t.block_number > b.last_block AND t.contract = :contract AND {_STANDS})
            OR EXISTS (SELECT 1 FROM token_events t WHERE t.chain = a.chain AND t.block_number > b.last_block
                AND t.contract = :contract AND t.account = a.address AND {_STANDS})))
    ORDER BY coalesce(b.last_block, -1), a.id LIMIT :limit
    """
).bindparams(bindparam("roles", expanding=True), bindparam("before", type_=_TIME))

_BEFORE = with_rows(
    f"""
    SELECT b.contract, b.address, b.last_block, b.units, (
        EXISTS (SELECT 1 FROM transfers t WHERE t.chain = g.chain AND t.recipient = g.address
            AND t.contract = g.contract AND t.block_number > b.last_block AND t.block_number <= g.block AND {_STANDS})
        OR EXISTS (SELECT 1 FROM transfers t WHERE t.chain = g.chain AND t.sender = g.address
            AND t.contract = g.contract AND t.block_number > b.last_block AND t.block_number <= g.block AND {_STANDS})
    ) AS moved
    FROM {{rows}} AS g JOIN balances b ON {_MINE}
        AND b.first_block = (SELECT max(o.first_block) FROM balances o WHERE {_OTHER})
    """,
    _TYPES | {"block": "bigint"},
)
_STORED = _TYPES | {"block": "bigint", "units": "text", "hash": "text", "now": "timestamptz"}
_BEGIN = with_rows(
    """
    INSERT INTO balances (chain, contract, address, first_block, last_block, last_hash, units, checked_at)
    SELECT chain, contract, address, block, block, hash, units, now FROM {rows} AS g
    """,
    _STORED,
)
_EXTEND = with_rows(
    f"""
    UPDATE balances AS b SET last_block = g.block, last_hash = g.hash, checked_at = g.now FROM {{rows}} AS g
    WHERE {_MINE} AND b.first_block = (SELECT max(o.first_block) FROM balances o WHERE {_OTHER})
    """,
    _STORED,
)
_WINDOW = _TYPES | {"opens": "bigint", "closes": "bigint"}
_LOW = with_rows(
    f"""
    SELECT b.contract, b.address, b.first_block, b.last_block, b.units FROM {{rows}} AS g JOIN balances b ON {_MINE}
        AND b.first_block = coalesce(
            (SELECT max(o.first_block) FROM balances o WHERE {_OTHER} AND o.first_block <= g.opens),
            (SELECT min(o.first_block) FROM balances o WHERE {_OTHER}))
    """,
    _WINDOW,
)
_HIGH = with_rows(
    f"""
    SELECT b.contract, b.address, b.first_block, b.last_block, b.units FROM {{rows}} AS g JOIN balances b ON {_MINE}
        AND b.first_block = CASE WHEN g.closes IS NULL
            THEN (SELECT max(o.first_block) FROM balances o WHERE {_OTHER})
            ELSE (SELECT min(o.first_block) FROM balances o WHERE {_OTHER} AND o.last_block >= g.closes) END
    """,
    _WINDOW,
)


def _summed(side: str) -> Any:
    return with_rows(
        f"""
        SELECT g.contract, g.address,
            CASE WHEN t.block_number <= g.opens THEN 0 WHEN t.block_number <= g.closes THEN 1 ELSE 2 END AS part,
            sum(t.amount_micros) AS micros, sum(t.rest) AS rest
        FROM {{rows}} AS g JOIN transfers t ON t.chain = g.chain AND t.{side} = g.address AND t.contract = g.contract
            AND t.block_number > g.low AND t.block_number <= g.high AND {_STANDS}
        GROUP BY 1, 2, 3
        """,
        _WINDOW | {"low": "bigint", "high": "bigint"},
    )


_RECEIVED, _SENT = _summed("recipient"), _summed("sender")

_OUTFLOWS = (
    text(
        f"""
    SELECT * FROM (
        SELECT t.chain, t.tx_hash, t.log_index, t.block_number, t.block_hash, t.block_time, t.contract, t.sender,
            t.recipient, t.amount_micros, t.rest,
            CASE WHEN r.role IN ('collection', 'external') THEN r.role ELSE 'unexplained_outflow' END AS class
        FROM transfers t JOIN addresses a ON a.chain = t.chain AND a.address = t.sender AND a.role IN :roles
        LEFT JOIN addresses r ON r.chain = t.chain AND r.address = t.recipient
        WHERE t.block_time >= :start AND t.block_time < :end AND t.recipient <> t.sender AND {_STANDS}
    ) AS o WHERE class IN :classes ORDER BY block_time, chain, block_number, log_index LIMIT :limit
    """
    )
    .bindparams(
        bindparam("roles", expanding=True),
        bindparam("classes", expanding=True),
        bindparam("start", type_=_TIME),
        bindparam("end", type_=_TIME),
    )
    .columns(block_time=_TIME)
)
