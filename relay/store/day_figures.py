"""Own the figures that stand around a day's bridge: what moved on the chains, what is open, pending and how old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, case, func, select, text

from relay.core.days import Day
from relay.core.statement import AGES, Sum
from relay.core.unordered import PROPOSABLE
from relay.store.rows import breaks, callbacks, match_states, orders, provider_facts, statements

RECENT = 5_000
_TIME = orders.c.created_at.type
_same_order = (match_states.c.namespace == orders.c.namespace) & (match_states.c.orderid == orders.c.orderid)
_UNDECIDED = ("confirming", "pending", "creating")


def moved(connection: Connection, day: Day) -> dict[str, dict[str, Any]]:
    """Return for each chain what came to users' addresses, what left them, what found its order, and the last block that moved money."""
    between = {"start": day.start, "end": day.end}
    rows = connection.execute(_MOVED, between).mappings().all()
    return {row["chain"]: _sums(row) | _last_block(connection, row["chain"], between) for row in rows}


def _sums(row: RowMapping) -> dict[str, Any]:
    kinds = ("received", "collected", "matched", "unfinal")
    return {kind: Sum(int(row[f"{kind}_count"] or 0), int(row[f"{kind}_micros"] or 0)) for kind in kinds}


def _last_block(connection: Connection, chain: str, between: Mapping[str, datetime]) -> dict[str, Any]:
    last = connection.execute(_LAST_BLOCK, {"chain": chain, **between}).first()
    return {} if last is None else {"block": last.block_number, "block_hash": last.block_hash}


def open_breaks(connection: Connection, day: Day) -> dict[int, Sum]:
    """Return the breaks that are open and were first seen before the day's end, by severity."""
    query = select(breaks.c.severity, func.count(), func.sum(breaks.c.amount_micros)).where(
        breaks.c.state == "open", breaks.c.first_seen < day.end
    )
    return {row[0]: Sum(row[1], int(row[2] or 0)) for row in connection.execute(query.group_by(breaks.c.severity))}


def oldest(connection: Connection, day: Day) -> datetime | None:
    """Return when the oldest of them was first seen."""
    query = select(func.min(breaks.c.first_seen, type_=_TIME))
    found: datetime | None = connection.scalar(query.where(breaks.c.state == "open", breaks.c.first_seen < day.end))
    return found


def orphaned(connection: Connection, day: Day) -> Sum:
    """Return what came to our addresses before the day's end and belongs to no order, by the breaks that are open about it."""
    return _sum(connection, breaks.c.state == "open", breaks.c.kind.in_(PROPOSABLE), breaks.c.first_seen < day.end)


def held(connection: Connection, day: Day) -> Sum:
    """Return the orders that are held and came before the day's end."""
    money = func.sum(func.coalesce(orders.c.amount_micros, orders.c.expected_micros, 0))
    query = select(func.count(), money).where(orders.c.state == "held", orders.c.created_at < day.end)
    row = connection.execute(query).one()
    return Sum(row[0], int(row[1] or 0))


def turned(connection: Connection, day: Day) -> tuple[Sum, Sum]:
    """Return what was first seen on the day, and what was resolved on it."""
    seen = (breaks.c.first_seen >= day.start, breaks.c.first_seen < day.end)
    closed = (breaks.c.resolved_at >= day.start, breaks.c.resolved_at < day.end)
    return _sum(connection, *seen), _sum(connection, *closed)


def ages(connection: Connection, day: Day, now: datetime) -> list[tuple[str, Sum]]:
    """Return the open breaks by how long ago they were first seen; every bucket, the empty ones too."""
    bounds = [now - age for _, age in AGES]
    oldest_first = case(
        *((breaks.c.first_seen <= bound, number) for number, bound in reversed(list(enumerate(bounds)))), else_=0
    )
    query = select(oldest_first.label("age"), func.count(), func.sum(breaks.c.amount_micros)).where(
        breaks.c.state == "open", breaks.c.first_seen < day.end
    )
    found = {row[0]: Sum(row[1], int(row[2] or 0)) for row in connection.execute(query.group_by("age"))}
    return [(name, found.get(number, Sum())) for number, (name, _) in enumerate(AGES)]


def pending(connection: Connection, day: Day) -> dict[str, Sum]:
    """Return the orders that are paid but not decided, by state; timing, not breaks."""
    money = func.coalesce(orders.c.amount_micros, 0)
    query = select(orders.c.state, func.count(), func.sum(money)).where(
        orders.c.state.in_(_UNDECIDED), orders.c.created_at < day.end
    )
    return {row[0]: Sum(row[1], int(row[2] or 0)) for row in connection.execute(query.group_by(orders.c.state))}


def pending_orders(connection: Connection, day: Day, *, limit: int | None = None) -> Iterator[RowMapping]:
    """Yield those that wait, the longest first, each with `due_at`, when time alone makes a break of it."""
    query = select(orders, match_states.c.due_at).outerjoin(match_states, _same_order)
    query = query.where(orders.c.state.in_(_UNDECIDED), orders.c.created_at < day.end)
    ordered = query.order_by(orders.c.updated_at, orders.c.id).limit(limit)
    with connection.execute(ordered, execution_options={"yield_per": 1_000}) as rows:
        yield from rows.mappings()


def turning(connection: Connection, start: datetime, end: datetime) -> Sum:
    """Return the orders that time alone turns into a break in a span, unless a witness speaks before."""
    money = func.sum(func.coalesce(orders.c.amount_micros, 0))
    query = select(func.count(), money).select_from(match_states).outerjoin(orders, _same_order)
    due = (match_states.c.due_at >= start, match_states.c.due_at < end)
    row = connection.execute(query.where(*due, match_states.c.verdict == "pending")).one()
    return Sum(row[0], int(row[1] or 0))


def needs(connection: Connection, day: Day) -> Sum:
    """Return the orders and other things that wait for a person: held, or with an open break; each once."""
    row = connection.execute(_NEEDS, {"end": day.end}).one()
    return Sum(row[0], int(row[1] or 0))


def needed(connection: Connection, day: Day, *, limit: int) -> list[RowMapping]:
    """Return what waits for a person, the worst and oldest first."""
    return list(connection.execute(_NEEDED, {"end": day.end, "limit": limit}).mappings())


def heard(connection: Connection, *, since: datetime) -> dict[str, dict[str, datetime]]:
    """Return when each source was heard last, by `callback`, `answer` and `statement`.

    Of callbacks the last RECENT are looked at, of answers those about payments
    since a moment: what is older is old whenever it came.
    """
    newest = select(func.max(callbacks.c.id) - RECENT).scalar_subquery()
    came = select(callbacks.c.source, func.max(callbacks.c.received_at, type_=_TIME)).where(
        callbacks.c.id > newest,
        # Else SQLite goes through the index of all signatures, which has this very condition.
        func.coalesce(callbacks.c.verdict, "") != "rejected",
        callbacks.c.origin == "callback",
    )
    told = select(provider_facts.c.source, func.max(provider_facts.c.checked_at, type_=_TIME)).where(
        provider_facts.c.occurred_at >= since, provider_facts.c.via != "statement"
    )
    imported = select(statements.c.source, func.max(statements.c.imported_at, type_=_TIME))
    asked = {
        "callback": came.group_by(callbacks.c.source),
        "answer": told.group_by(provider_facts.c.source),
        "statement": imported.group_by(statements.c.source),
    }
    return {kind: {row[0]: row[1] for row in connection.execute(query)} for kind, query in asked.items()}


def _sum(connection: Connection, *conditions: ColumnElement[bool]) -> Sum:
    row = connection.execute(select(func.count(), func.sum(breaks.c.amount_micros)).where(*conditions)).one()
    return Sum(row[0], int(row[1] or 0))


_BETWEEN = [bindparam(name, type_=_TIME) for name in ("start", "end")]
_MOVED = text(
    """
    WITH moved AS MATERIALIZED (
        SELECT t.chain, t.amount_micros, t.is_final,
            EXISTS (SELECT 1 FROM addresses a WHERE a.chain = t.chain AND a.address = t.recipient AND a.role = 'deposit')
                AS comes,
            EXISTS (SELECT 1 FROM addresses a WHERE a.chain = t.chain AND a.address = t.sender AND a.role = 'deposit')
                AS goes,
            EXISTS (SELECT 1 FROM matches m WHERE m.chain = t.chain AND m.tx_hash = t.tx_hash
                AND m.log_index = t.log_index AND m.reversed_at IS NULL) AS is_matched
        FROM transfers t WHERE t.block_time >= :start AND t.block_time < :end AND t.orphaned_at IS NULL
    )
    SELECT chain,
        sum(CASE WHEN is_final AND (is_matched OR comes AND NOT goes) THEN 1 ELSE 0 END) AS received_count,
        sum(CASE WHEN is_final AND (is_matched OR comes AND NOT goes) THEN amount_micros ELSE 0 END) AS received_micros,
        sum(CASE WHEN is_final AND goes THEN 1 ELSE 0 END) AS collected_count,
        sum(CASE WHEN is_final AND goes THEN amount_micros ELSE 0 END) AS collected_micros,
        sum(CASE WHEN is_final AND is_matched THEN 1 ELSE 0 END) AS matched_count,
        sum(CASE WHEN is_final AND is_matched THEN amount_micros ELSE 0 END) AS matched_micros,
        sum(CASE WHEN is_final THEN 0 ELSE 1 END) AS unfinal_count,
        sum(CASE WHEN is_final THEN 0 ELSE amount_micros END) AS unfinal_micros
    FROM moved GROUP BY chain ORDER BY chain
    """
).bindparams(*_BETWEEN)
_LAST_BLOCK = text(
    """
    SELECT block_number, block_hash FROM transfers
    WHERE chain = :chain AND block_time >= :start AND block_time < :end AND is_final
    ORDER BY block_time DESC, block_number DESC LIMIT 1
    """
).bindparams(*_BETWEEN)
# An order that is held and has a break is one thing to do; a break without an order is one by itself.
_ASKING = """
    SELECT namespace, orderid, '' AS break_id, amount_micros, 2 AS severity, held_reason AS kind, created_at AS since,
        NULL AS chain, NULL AS subject, NULL AS address, NULL AS tx_hash
    FROM orders WHERE state = 'held' AND created_at < :end
    UNION ALL
    SELECT namespace, orderid, id, amount_micros, severity, kind, first_seen, chain, subject, address, tx_hash
    FROM breaks WHERE state = 'open' AND first_seen < :end
"""
_NEEDS = text(
    f"""
    SELECT count(*), sum(micros) FROM (
        SELECT max(coalesce(amount_micros, 0)) AS micros FROM ({_ASKING}) AS asking
        GROUP BY namespace, orderid, CASE WHEN orderid IS NULL THEN break_id ELSE '' END) AS things
    """
).bindparams(bindparam("end", type_=_TIME))
_NEEDED = (
    text(
        f"""SELECT * FROM ({_ASKING}) AS asking WHERE break_id <> '' OR NOT EXISTS (SELECT 1 FROM breaks b
            WHERE b.namespace = asking.namespace AND b.orderid = asking.orderid AND b.state = 'open'
                AND b.first_seen < :end)
        ORDER BY severity, since LIMIT :limit"""
    )
    .bindparams(bindparam("end", type_=_TIME))
    .columns(
        namespace=orders.c.namespace.type,
        orderid=orders.c.orderid.type,
        break_id=breaks.c.id.type,
        amount_micros=orders.c.amount_micros.type,
        severity=breaks.c.severity.type,
        kind=breaks.c.kind.type,
        since=_TIME,
    )
)
