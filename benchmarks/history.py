"""Own a history of any length: orders with their callbacks, provider's answers, transfers and matches, by set-based SQL.

Each order was paid with 3 USDT on its own address; of each thousand one
callback was lost. What a run would have written of them is written too, so
that a long history is there without a run over it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, TextClause, bindparam, text

from benchmarks import callbacks
from relay.store.engine import is_sqlite, writing
from relay.store.rows import orders

# Long ago enough that time alone changes nothing any more.
BEGAN = datetime.now(UTC) - timedelta(days=2)
LOST_EVERY = 1000

_PADDED = "substr('000000000000' || CAST(n AS text), 1 + length(CAST(n AS text)))"
_ID = f"'o' || {_PADDED}"
_TX = f"'0x' || '{'a' * 52}' || {_PADDED}"
_ADDRESS = f"'0x' || '{'b' * 28}' || {_PADDED}"
_IS_LOST = f"n % {LOST_EVERY} = 0"
_SOURCE = f"'{callbacks.SOURCE}'"

_NUMBERS = """
    INSERT INTO numbers WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < :count) SELECT n FROM up
"""
_FACTS = (
    f"""
    INSERT INTO orders (namespace, orderid, source, state, version, user_ref, amount_micros, credited_micros, registered,
        flags, chain, address, created_at, updated_at)
    SELECT {_SOURCE}, {_ID}, {_SOURCE}, CASE WHEN {_IS_LOST} THEN 'created' ELSE 'succeeded' END, 1, '1', 3000000,
        CASE WHEN {_IS_LOST} THEN 0 ELSE 3000000 END, true, '', 'ethereum', {_ADDRESS}, :at, :at FROM numbers
    """,
    f"""
    INSERT INTO callbacks (source, verdict, namespace, orderid, status, part, user_ref, amount_micros, amount_raw,
        unit_micros, occurred_at, signature, secret_id, origin, flags, headers, received_at)
    SELECT {_SOURCE}, 'accepted', {_SOURCE}, {_ID}, 'succeeded', '', '1', 3000000, '30000', 100, :at, 'signed-' || n, 's1',
        'callback', '', '{{}}', :at FROM numbers WHERE NOT ({_IS_LOST})
    """,
    f"""
    INSERT INTO provider_facts (source, orderid, namespace, via, status, raw_status, amount_micros, amount_raw, unit_micros,
        tx_hash, occurred_at, changed_at, checked_at)
    SELECT {_SOURCE}, {_ID}, {_SOURCE}, 'query', 'succeeded', 'paid', 3000000, '3', 100, {_TX}, :at, :at, :at FROM numbers
    """,
    f"""
    INSERT INTO transfers (chain, tx_hash, log_index, block_number, block_hash, block_time, contract, sender, recipient,
        amount_micros, rest, is_final, seen_at)
    SELECT 'ethereum', {_TX}, 0, n, {_TX}, :at, '0xdac17f958d2ee523a2206206994597c13d831ec7', '0x{"9" * 40}', {_ADDRESS},
        3000000, 0, true, :at FROM numbers
    """,
    f"""
    INSERT INTO matches (chain, tx_hash, log_index, namespace, orderid, rule, flags, matched_at, final_at)
    SELECT 'ethereum', {_TX}, 0, {_SOURCE}, {_ID}, 'address', '', :at, :at FROM numbers
    """,
)
_STATES = f"""
    INSERT INTO match_states (namespace, orderid, verdict, kinds, flags, drift_micros, changed_at)
    SELECT {_SOURCE}, {_ID}, CASE WHEN {_IS_LOST} THEN 'break' ELSE 'matched' END,
        CASE WHEN {_IS_LOST} THEN 'missing_callback' ELSE '' END, '', CASE WHEN {_IS_LOST} THEN -3000000 ELSE 0 END, :at
    FROM numbers
"""


def fill(engine: Engine, count: int, *, judged: bool) -> None:
    """Store so many orders; with `judged` also how each of them stands, as a run would have left it."""
    with writing(engine) as connection:
        if not is_sqlite(connection):
            # What is loaded is not logged as changed: no trigger fires.
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("CREATE TEMP TABLE numbers (n bigint PRIMARY KEY)")
        connection.execute(text(_NUMBERS), {"count": count})
        for statement in (*_FACTS, *([_STATES] if judged else [])):
            connection.execute(_at(statement), {"at": BEGAN})
        connection.exec_driver_sql("DELETE FROM dirty")
        connection.exec_driver_sql("DROP TABLE numbers")
    _settle(engine)


def change(connection: Connection, *, every: int) -> int:
    """Have the provider answer otherwise about every n-th order, as a re-poll would; return how many."""
    changed = "UPDATE provider_facts SET raw_status = 'done', changed_at = :at WHERE CAST(substr(orderid, 2) AS bigint) % :every = 0"
    moment = datetime.now(UTC) - timedelta(hours=1)
    return connection.execute(_at(changed), {"at": moment, "every": every}).rowcount


def change_newest(connection: Connection, count: int) -> None:
    """The same of the newest orders, which is what a provider usually tells of."""
    newest = "SELECT orderid FROM orders ORDER BY id DESC LIMIT :count"
    changed = f"UPDATE provider_facts SET raw_status = 'done', changed_at = :at WHERE orderid IN ({newest})"
    connection.execute(_at(changed), {"at": datetime.now(UTC) - timedelta(hours=1), "count": count})


def _at(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("at", type_=orders.c.created_at.type))


def _settle(engine: Engine) -> None:
    """What an old database has: no log of what was loaded, and statistics."""
    if is_sqlite(engine):
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")
