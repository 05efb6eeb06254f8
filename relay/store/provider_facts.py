"""Own what providers said of orders: written when it is new, and otherwise only known to have been heard again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from relay.core.callbacks import Status
from relay.core.facts import ProviderFact, merged
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import together
from relay.store.rows import provider_facts

Key = tuple[str, str]

_FIELDS = (
    "source",
    "orderid",
    "namespace",
    "via",
    "status",
    "raw_status",
    "amount_micros",
    "amount_raw",
    "unit_micros",
    "provider_order_id",
    "tx_hash",
    "occurred_at",
)


def record(connection: Connection, facts: Sequence[ProviderFact], *, now: datetime) -> list[Key]:
    """Keep facts, at most one an order; return the keys of the orders of which something new was said.

    `changed_at` moves only with the content, so that whoever looks at what changed meets each change once.
    """
    if not facts:
        return []
    asked = [{"source": fact.source, "orderid": fact.orderid} for fact in facts]
    (rows,) = together(connection, (_KNOWN.on(connection), given(asked)))
    known = {(row["source"], row["orderid"]): _fact(row) for row in rows}
    heard = [(merged(known.get((fact.source, fact.orderid)), fact), fact) for fact in facts]
    new = [after for after, fact in heard if after != known.get((fact.source, fact.orderid))]
    if new:
        stamps = {"changed_at": now, "checked_at": now}
        together(connection, (_WRITE.on(connection), given([_values(fact) | stamps for fact in _in_order(new)])))
    if len(new) < len(facts):
        together(connection, (_CHECKED.on(connection), given([one | {"checked_at": now} for one in asked])))
    return [fact.key for fact in new]


def of_order(connection: Connection, namespace: str, orderid: str) -> list[RowMapping]:
    """Return what providers last said of an order, a row for each source; its `id` is the source's name."""
    mine = (provider_facts.c.namespace == namespace, provider_facts.c.orderid == orderid)
    query = select(provider_facts, provider_facts.c.source.label("id")).where(*mine)
    return list(connection.execute(query.order_by(provider_facts.c.source)).mappings())


def _in_order(facts: Sequence[ProviderFact]) -> list[ProviderFact]:
    """In one order in every process: two batches cannot lock each other out."""
    return sorted(facts, key=lambda fact: (fact.source, fact.orderid))


def _values(fact: ProviderFact) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in _FIELDS}


def _fact(row: Mapping[str, Any]) -> ProviderFact:
    status = row["status"]
    return ProviderFact(**{name: row[name] for name in _FIELDS} | {"status": Status(status) if status else None})


_KEY = ("source", "orderid")
_KNOWN = with_rows(
    f"""
    SELECT {", ".join(f"f.{name}" for name in _FIELDS)} FROM {{rows}} AS g
    JOIN provider_facts f ON f.source = g.source AND f.orderid = g.orderid
    """,
    types_of(provider_facts, _KEY),
    occurred_at=provider_facts.c.occurred_at.type,
)
_ALL = (*_FIELDS, "changed_at", "checked_at")
# The condition of WHERE keeps SQLite from reading ON as the beginning of a join.
_WRITE = with_rows(
    f"""
    INSERT INTO provider_facts ({", ".join(_ALL)}) SELECT {", ".join(_ALL)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (source, orderid) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _ALL[2:])}
    """,
    types_of(provider_facts, _ALL),
)
_CHECKED = with_rows(
    """
    UPDATE provider_facts SET checked_at = g.checked_at FROM {rows} AS g
    WHERE provider_facts.source = g.source AND provider_facts.orderid = g.orderid
    """,
    types_of(provider_facts, (*_KEY, "checked_at")),
)
