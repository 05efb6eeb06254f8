"""Own what the live board reads: a fixed number of queries, whatever has happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, and_, bindparam, func, select, text

from relay.store.rows import attempts, chains, deliveries, endpoints, events, orders, transfers


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOrder:
    """One order as the relay believes it; amounts in micro-USDT."""

    orderid: str
    user_ref: str | None
    state: str
    amount_micros: int
    credited_micros: int
    flags: frozenset[str]
    held_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardDelivery:
    """One event of an order on its way to one service. `refusal` is the last status of a failed attempt."""

    orderid: str
    event_type: str
    announced_at: datetime
    service: str
    state: str
    attempts: int
    refusal: int | None
    due_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardTransfer:
    """The last payment of an order; its own block is the first confirmation. One `is_gone` whose block was replaced."""

    block_number: int
    block_hash: str
    tx_hash: str
    confirmations: int
    is_final: bool
    is_gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardTotals:
    """The relay's sums over the orders it has known since a moment; amounts in micro-USDT."""

    credited: int = 0
    credited_micros: int = 0
    held: int = 0
    held_micros: int = 0
    recovered: int = 0


def newest(connection: Connection, namespace: str, *, limit: int) -> list[str]:
    """Return the orderids the relay met last, newest first."""
    found = select(orders.c.orderid).where(orders.c.namespace == namespace).order_by(orders.c.id.desc()).limit(limit)
    return list(connection.scalars(found))


def board_orders(connection: Connection, namespace: str, orderids: Sequence[str]) -> dict[str, BoardOrder]:
    """Return what is known of these orders, each under its orderid."""
    columns = [
        orders.c[name]
        for name in (
            "orderid",
            "user_ref",
            "state",
            "amount_micros",
            "credited_micros",
            "flags",
            "held_reason",
            "created_at",
        )
    ]
    found = select(*columns).where(orders.c.namespace == namespace, orders.c.orderid.in_(orderids))
    return {row["orderid"]: _order(row) for row in connection.execute(found).mappings()}


def board_deliveries(connection: Connection, namespace: str, orderids: Sequence[str]) -> dict[str, list[BoardDelivery]]:
    """Return the deliveries of each order's last event, by service."""
    last = (
        select(func.max(events.c.sequence))
        .where(events.c.namespace == namespace, events.c.orderid.in_(orderids), events.c.type.like("recharge.%"))
        .group_by(events.c.orderid)
    )
    refusal = (
        select(attempts.c.status)
        .where(attempts.c.delivery_id == deliveries.c.id, attempts.c.outcome != "delivered")
        .order_by(attempts.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    columns = [deliveries.c[name] for name in ("state", "attempts", "due_at", "finished_at")]
    found = (
        select(
            events.c.orderid,
            events.c.type.label("event_type"),
            events.c.created_at.label("announced_at"),
            endpoints.c.description,
            endpoints.c.id,
            refusal.label("refusal"),
            *columns,
        )
        .select_from(
            events.join(deliveries, deliveries.c.event_sequence == events.c.sequence).join(
                endpoints, endpoints.c.id == deliveries.c.endpoint_id
            )
        )
        .where(events.c.sequence.in_(last), endpoints.c.deleted_at.is_(None))
        .order_by(endpoints.c.created_at, endpoints.c.id)
    )
    by_order: dict[str, list[BoardDelivery]] = {}
    for row in connection.execute(found):
        by_order.setdefault(row.orderid, []).append(_delivery(row))
    return by_order


def board_transfers(connection: Connection, namespace: str, orderids: Sequence[str]) -> dict[str, BoardTransfer]:
    """Return what the chains show at each order's address, as far as they were read; what stands before what is gone."""
    paid = transfers.join(
        orders, and_(orders.c.chain == transfers.c.chain, orders.c.address == transfers.c.recipient)
    ).join(chains, chains.c.name == transfers.c.chain)
    columns = [transfers.c[name] for name in ("block_number", "block_hash", "tx_hash", "is_final", "orphaned_at")]
    found = (
        select(orders.c.orderid, chains.c.head_number, *columns)
        .select_from(paid)
        .where(orders.c.namespace == namespace, orders.c.orderid.in_(orderids))
        .order_by(transfers.c.orphaned_at.is_(None), transfers.c.block_number, transfers.c.log_index)
    )
    # The last row of an order counts, so what stands is sorted behind what is gone.
    return {row.orderid: _transfer(row) for row in connection.execute(found)}


def board_totals(connection: Connection, namespace: str, *, since: datetime) -> BoardTotals:
    """Return the sums over the orders that began at `since` or later."""
    row = connection.execute(_TOTALS, {"namespace": namespace, "since": since}).mappings().one()
    return BoardTotals(**{name: int(value or 0) for name, value in row.items()})


def _order(row: RowMapping) -> BoardOrder:
    read = {
        "amount_micros": row["amount_micros"] or 0,
        "flags": frozenset(row["flags"].split()),
        "created_at": _aware(row["created_at"]),
    }
    return BoardOrder(**{**row, **read})


def _delivery(row: Row[Any]) -> BoardDelivery:
    return BoardDelivery(
        orderid=row.orderid,
        event_type=row.event_type,
        announced_at=_aware(row.announced_at),
        service=row.description or row.id,
        state=row.state,
        attempts=row.attempts,
        refusal=row.refusal,
        due_at=_aware(row.due_at),
        finished_at=None if row.finished_at is None else _aware(row.finished_at),
    )


def _transfer(row: Row[Any]) -> BoardTransfer:
    return BoardTransfer(
        block_number=row.block_number,
        block_hash=row.block_hash,
        tx_hash=row.tx_hash,
        # A head that was noted before the block was read is behind it for a moment.
        confirmations=max(1, (row.head_number or 0) - row.block_number + 1),
        is_final=row.is_final,
        is_gone=row.orphaned_at is not None,
    )


def _aware(moment: datetime) -> datetime:
    """SQLite hands times back without their zone; all of ours are UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_TOTALS = text(
    """
    SELECT sum(CASE WHEN credited_micros > 0 THEN 1 ELSE 0 END) AS credited,
        sum(credited_micros) AS credited_micros,
        sum(CASE WHEN state = 'held' AND credited_micros = 0 THEN 1 ELSE 0 END) AS held,
        sum(CASE WHEN state = 'held' AND credited_micros = 0 THEN amount_micros ELSE 0 END) AS held_micros,
        sum(CASE WHEN flags LIKE '%recovered%' THEN 1 ELSE 0 END) AS recovered
    FROM orders WHERE namespace = :namespace AND created_at >= :since
    """
).bindparams(bindparam("since", type_=orders.c.created_at.type))
