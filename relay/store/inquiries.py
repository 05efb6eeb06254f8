"""Own what is known of a transaction that somebody asks about: what scans found, who named it, and what nodes said."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, or_, select, text

from relay.core.hashes import spellings
from relay.store.rows import callbacks, inquiries, orders, provider_facts, transfers

# An answer is of its moment; nobody looks for one that is older.
KEPT = timedelta(days=1)

_ORDER = ("namespace", "orderid", "source", "state", "held_reason", "credited_micros")


def moves_of(connection: Connection, tx_hash: str) -> list[RowMapping]:
    """Return the transfers of a transaction on any chain, with roles, order (`namespace` None: none) and the chain's head."""
    return list(connection.execute(_MOVES, {"tx_hash": tx_hash}).mappings())


def named_by(connection: Connection, tx_hash: str, *, most: int) -> list[RowMapping]:
    """Return the orders of which a callback or the provider named a transaction."""
    told = spellings(tx_hash)
    callback = (callbacks.c.tx_hash.in_(told), callbacks.c.verdict != "rejected")
    named = select(callbacks.c.namespace, callbacks.c.orderid).where(text("tx_hash IS NOT NULL"), *callback)
    facts = select(provider_facts.c.namespace, provider_facts.c.orderid).where(provider_facts.c.tx_hash.in_(told))
    keys = named.union(facts).subquery()
    mine = (orders.c.namespace == keys.c.namespace) & (orders.c.orderid == keys.c.orderid)
    query = select(*(orders.c[name] for name in _ORDER)).join(keys, mine).order_by(orders.c.id).limit(most)
    return list(connection.execute(query).mappings())


def find(connection: Connection, tx_hash: str) -> RowMapping | None:
    """Return what was asked of a transaction, and answered."""
    return connection.execute(select(inquiries).where(inquiries.c.tx_hash == tx_hash)).mappings().first()


def count_open(connection: Connection, *, since: datetime) -> int:
    """Return how many transactions were asked about since a moment and have no answer yet."""
    is_open = or_(inquiries.c.answered_at.is_(None), inquiries.c.answered_at < inquiries.c.asked_at)
    query = select(func.count()).select_from(inquiries).where(inquiries.c.asked_at > since, is_open)
    return connection.scalar(query) or 0


def ask(connection: Connection, tx_hash: str, *, now: datetime) -> None:
    """Write that a transaction was asked about, and forget what is old."""
    connection.execute(delete(inquiries).where(inquiries.c.asked_at < now - KEPT))
    connection.execute(_ASK, {"tx_hash": tx_hash, "now": now})


def answer(connection: Connection, tx_hash: str, told: str, *, now: datetime) -> None:
    """Write what nodes said of a transaction; the job may be faster than whoever asked."""
    connection.execute(_ANSWER, {"tx_hash": tx_hash, "now": now, "told": told})


# CROSS JOIN holds SQLite to the order of the joins: left to itself it goes through all transfers.
_MOVES = text(
    f"""
    SELECT t.chain, t.block_number, t.is_final, t.orphaned_at, t.amount_micros, t.rest, t.unmatched, h.head_number,
        r.role AS role, s.role AS sender_role, {", ".join(f"o.{name}" for name in _ORDER)}
    FROM chains h CROSS JOIN transfers t
    LEFT JOIN addresses r ON r.chain = t.chain AND r.address = t.recipient
    LEFT JOIN addresses s ON s.chain = t.chain AND s.address = t.sender
    LEFT JOIN matches m ON m.chain = t.chain AND m.tx_hash = t.tx_hash AND m.log_index = t.log_index
    LEFT JOIN orders o ON o.namespace = m.namespace AND o.orderid = m.orderid
    WHERE t.chain = h.name AND t.tx_hash = :tx_hash ORDER BY t.chain, t.log_index
    """
).columns(is_final=transfers.c.is_final.type, orphaned_at=transfers.c.orphaned_at.type)
_ASK = text(
    """
    INSERT INTO inquiries (tx_hash, asked_at) VALUES (:tx_hash, :now)
    ON CONFLICT (tx_hash) DO UPDATE SET asked_at = excluded.asked_at
    """
).bindparams(bindparam("now", type_=inquiries.c.asked_at.type))
_ANSWER = text(
    """
    INSERT INTO inquiries (tx_hash, asked_at, answered_at, answer) VALUES (:tx_hash, :now, :now, :told)
    ON CONFLICT (tx_hash) DO UPDATE SET answered_at = excluded.answered_at, answer = excluded.answer
    """
).bindparams(bindparam("now", type_=inquiries.c.asked_at.type))
