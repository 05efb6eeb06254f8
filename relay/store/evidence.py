"""Own how the facts of other witnesses are read for the rules, and which orders wait for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, case, select, text

from relay.core.callbacks import Status
from relay.core.evidence import Facts
from relay.core.facts import ProviderFact
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import reading, together
from relay.store.rows import events, orders, provider_facts

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


def facts_of(connection: Connection, keys: Sequence[Key]) -> dict[Key, Facts]:
    """Return what witnesses say of orders, by (namespace, orderid).

    Transfers join them here when a chain is read; until then an order whose
    source asks for the chain waits, and is held after its grace.
    """
    asked = [{"namespace": namespace, "orderid": orderid} for namespace, orderid in keys]
    (found,) = together(connection, (_PROVIDER_FACTS.on(connection), given(asked)))
    by_key: dict[Key, list[ProviderFact]] = {}
    for row in found:
        fact = _fact(row)
        by_key.setdefault(fact.key, []).append(fact)
    return {key: Facts(provider=tuple(facts)) for key, facts in by_key.items()}


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
