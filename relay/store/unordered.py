"""Own the statements of credits without an order: which are not explained yet, and which order may be the late word of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, text, update

from relay.core.facts import TransferKey
from relay.core.orders import Order
from relay.core.unordered import NEAR, Unordered
from relay.store.bulk import given, with_rows
from relay.store.engine import Asked
from relay.store.rows import unordered_credits

Key = tuple[str, str]

# What a row of the feed's head has of one, and what the others have in its place.
NOTHING = "NULL AS namespace, NULL AS orderid, NULL AS user_ref, CAST(NULL AS BIGINT) AS amount_micros"
OPEN = """
    SELECT NULL, 0, namespace, orderid, user_ref, amount_micros FROM unordered_credits
    WHERE claimed_by IS NULL AND credited_at > :since
"""


def read(row: Mapping[str, Any]) -> Unordered:
    """Return the credit that a row tells of."""
    return Unordered(**{name: row[name] for name in ("namespace", "orderid", "user_ref", "amount_micros")})


def add(connection: Connection, order: Order, *, now: datetime) -> None:
    """Keep that money was credited as this order, which nobody ordered."""
    row = {"namespace": order.namespace, "orderid": order.orderid, "user_ref": order.user_ref}
    connection.execute(insert(unordered_credits).values(**row, amount_micros=order.credited_micros, credited_at=now))


def credited_unbacked(connection: Connection, key: TransferKey, order: Order, *, around: datetime) -> list[str]:
    """Return the numbers of orders of the same user and sum that were credited around then with no transfer to show for it.

    One whose callback names a transaction is no such order: what it names is its money.
    """
    place = dict(zip(("chain", "tx_hash", "log_index"), key, strict=True))
    about = {"namespace": order.namespace, "user_ref": order.user_ref, "micros": order.credited_micros}
    span = {"since": around - NEAR, "until": around + NEAR}
    return sorted(connection.scalars(_UNBACKED, place | about | span))


def claiming(connection: Connection, rows: Sequence[tuple[Key, str]]) -> list[Asked]:
    """Return the statement that lets orders be the late word of credits, one each."""
    if not rows:
        return []
    told = [{"namespace": key[0], "orderid": orderid, "claimed_by": key[1]} for key, orderid in rows]
    return [(_CLAIM.on(connection), given(told))]


def forget(connection: Connection, key: Key) -> None:
    """An order was money of its own after all: what it was taken for awaits its word again."""
    mine = (unordered_credits.c.namespace == key[0], unordered_credits.c.claimed_by == key[1])
    connection.execute(update(unordered_credits).where(*mine).values(claimed_by=None))


_TIME = unordered_credits.c.credited_at.type
_UNBACKED = text(
    """
    SELECT o.orderid FROM transfers t JOIN orders o ON o.user_ref = :user_ref AND o.namespace = :namespace
    WHERE t.chain = :chain AND t.tx_hash = :tx_hash AND t.log_index = :log_index
        AND o.credited_micros BETWEEN :micros AND t.amount_micros AND o.created_at <= :until AND o.updated_at >= :since
        AND coalesce(o.address, t.recipient) = t.recipient AND coalesce(o.chain, t.chain) = t.chain
        AND NOT EXISTS (SELECT 1 FROM matches m
            WHERE m.namespace = o.namespace AND m.orderid = o.orderid AND m.reversed_at IS NULL)
        AND NOT EXISTS (SELECT 1 FROM callbacks c
            WHERE c.namespace = o.namespace AND c.orderid = o.orderid AND c.tx_hash IS NOT NULL)
    """
).bindparams(*(bindparam(name, type_=_TIME) for name in ("since", "until")))
_CLAIM = with_rows(
    """
    UPDATE unordered_credits SET claimed_by = g.claimed_by FROM {rows} AS g
    WHERE unordered_credits.namespace = g.namespace AND unordered_credits.orderid = g.orderid
    """,
    {"namespace": "text", "orderid": "text", "claimed_by": "text"},
)
