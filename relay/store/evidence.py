"""Own how the facts of other witnesses are read for the rules, and which orders wait for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, case, select, text

from relay.core.callbacks import Status
from relay.core.evidence import Facts
from relay.core.facts import Named, ProviderFact, Transfer
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import reading, together
from relay.store.rows import TRANSFER_FIELDS, events, orders, provider_facts, transfers

Key = tuple[str, str]

_FACT_FIELDS = (
    "source",
    "namespace",
    "orderid",
    "via",
    "raw_status",
    "amount_micros",
    "amount_raw",
    "unit_micros",
    "provider_order_id",
    "tx_hash",
    "occurred_at",
)


def facts_of(
    connection: Connection, keys: Sequence[Key], told: Mapping[Key, Collection[str]] = MappingProxyType({})
) -> dict[Key, Facts]:
    """Return what witnesses say of orders, by (namespace, orderid).

    The provider's answers, the transfers matched to each, and those of the
    transactions that are named: by the provider, or in callbacks (`told`, in
    machine spelling).
    """
    asked = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in keys]
    named = [
        {"namespace": namespace, "orderid": orderid, "tx_hash": tx_hash}
        for namespace, orderid in keys
        for tx_hash in [None, *told.get((namespace, orderid), ())]
    ]
    answers, moved = together(
        connection,
        (_PROVIDER_FACTS.on(connection), given(asked)),
        (_TRANSFERS.on(connection), given(named)),
    )
    provider, chain = _by_order(answers), _by_order(moved)
    return {key: _facts(provider.get(key, []), chain.get(key, [])) for key in provider.keys() | chain.keys()}


def _facts(answers: Sequence[Mapping[str, Any]], moved: Sequence[Mapping[str, Any]]) -> Facts:
    return Facts(
        provider=tuple(map(_fact, answers)),
        transfers=tuple(_transfer(row) for row in moved if row["is_own"]),
        named=tuple(Named(_transfer(row), row["owner"], row["taken_by"]) for row in moved if not row["is_own"]),
    )


def _by_order(rows: Sequence[Mapping[str, Any]]) -> dict[Key, list[Mapping[str, Any]]]:
    found: dict[Key, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["namespace"], row["orderid"]), []).append(row)
    return found


def credited_since(connection: Connection, sources: Collection[str], since: datetime) -> dict[str, int]:
    """Return how many micro-USDT each of these sources has credited since a moment, 0 for one that has not."""
    (found,) = together(connection, (_CREDITED, {"since": since}))
    sums = {row["source"]: int(row["micros"]) for row in found}
    return {name: sums.get(name, 0) for name in sources}


def confirming(engine: Engine, due: Mapping[str, datetime], *, otherwise: datetime, limit: int) -> list[Key]:
    """Return orders that await evidence and have not changed since their source's moment, the longest waiting first.

    `due` has the moment of each source; `otherwise` is that of every other.
    """
    unchanged_since = case(due, value=orders.c.source, else_=otherwise) if due else otherwise
    query = (
        select(orders.c.namespace, orders.c.orderid)
        .where(text("state = 'confirming'"), orders.c.updated_at <= unchanged_since)
        .order_by(orders.c.updated_at)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [(row.namespace, row.orderid) for row in connection.execute(query)]


def overdue(engine: Engine, *, now: datetime, limit: int) -> list[Key]:
    """Return unpaid orders whose time is over, the longest ago first."""
    query = (
        select(orders.c.namespace, orders.c.orderid)
        .where(orders.c.expires_at <= now, text("state IN ('created', 'pending')"))
        .order_by(orders.c.expires_at)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [(row.namespace, row.orderid) for row in connection.execute(query)]


def _fact(values: Mapping[str, Any]) -> ProviderFact:
    status = values["status"]
    return ProviderFact(**{name: values[name] for name in _FACT_FIELDS}, status=Status(status) if status else None)


def _transfer(values: Mapping[str, Any]) -> Transfer:
    head = values["head_number"]
    counted = 0 if head is None else max(0, head - values["block_number"] + 1)
    return Transfer(**{name: values[name] for name in TRANSFER_FIELDS}, confirmations=counted)


_FACT_LIST = ", ".join(f"f.{name}" for name in (*_FACT_FIELDS, "status"))
_PROVIDER_FACTS = with_rows(
    f"""
    SELECT {_FACT_LIST} FROM {{rows}} AS g
    JOIN provider_facts f ON f.namespace = g.namespace AND f.orderid = g.orderid
    ORDER BY f.source
    """,
    types_of(orders, ("namespace", "orderid")),
    occurred_at=provider_facts.c.occurred_at.type,
)
_TRANSFER_LIST = ", ".join(f"t.{name}" for name in TRANSFER_FIELDS)
# What a reorganisation took away, or what was matched no longer, is no evidence. Of an order the row without a
# transaction finds its own transfers and what its provider names; a provider may leave the 0x out. CROSS JOIN holds SQLite
# to the order of the joins: left to itself it goes through all transfers, while whoever calls back waits.
_TRANSFERS = with_rows(
    f"""
    SELECT m.namespace, m.orderid, h.head_number, NULL AS owner, NULL AS taken_by, true AS is_own, {_TRANSFER_LIST}
    FROM {{rows}} AS g
    JOIN matches m ON m.namespace = g.namespace AND m.orderid = g.orderid AND m.reversed_at IS NULL
    JOIN transfers t ON t.chain = m.chain AND t.tx_hash = m.tx_hash AND t.log_index = m.log_index
        AND t.orphaned_at IS NULL
    LEFT JOIN chains h ON h.name = t.chain
    WHERE g.tx_hash IS NULL
    UNION ALL
    SELECT n.namespace, n.orderid, h.head_number, a.owner, m.orderid, false, {_TRANSFER_LIST}
    FROM (
        SELECT g.namespace, g.orderid, g.tx_hash FROM {{rows}} AS g WHERE g.tx_hash IS NOT NULL
        UNION
        SELECT g.namespace, g.orderid, '0x' || replace(lower(f.tx_hash), '0x', '') FROM {{rows}} AS g
        JOIN provider_facts f ON f.namespace = g.namespace AND f.orderid = g.orderid AND f.tx_hash IS NOT NULL
        WHERE g.tx_hash IS NULL
    ) AS n CROSS JOIN chains h CROSS JOIN transfers t
    JOIN addresses a ON a.chain = t.chain AND a.address = t.recipient AND a.role IN ('deposit', 'provider')
    LEFT JOIN matches m ON m.chain = t.chain AND m.tx_hash = t.tx_hash AND m.log_index = t.log_index
    WHERE t.chain = h.name AND t.tx_hash = n.tx_hash AND t.orphaned_at IS NULL AND (m.orderid IS NULL OR m.namespace <> n.namespace OR m.orderid <> n.orderid)
    """,
    types_of(orders, ("namespace", "orderid")) | {"tx_hash": "text"},
    block_time=transfers.c.block_time.type,
    is_final=transfers.c.is_final.type,
    is_own=transfers.c.is_final.type,
)
# The newest credit from before the hour is found from the end of the index, so that only the hour's own are walked.
_CREDITED = text(
    """
    SELECT source, sum(amount_micros) AS micros FROM events
    WHERE type = 'recharge.succeeded' AND sequence > coalesce((
        SELECT sequence FROM events WHERE type = 'recharge.succeeded' AND created_at <= :since
        ORDER BY sequence DESC LIMIT 1), 0)
    GROUP BY source
    """
).bindparams(bindparam("since", type_=events.c.created_at.type))
