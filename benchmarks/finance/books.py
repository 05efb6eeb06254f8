"""Own a month of books on Postgres: a million orders with what every witness said of them, breaks, and what a run left.

Of each hundred orders one was lost and is an open break, and two were breaks that are resolved. The first day has
LARGE orders, what finance would take away as a file; the others share the rest evenly.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import Connection

from benchmarks import callbacks

DAYS = 30
ORDERS, LARGE = 1_000_000, 100_000
FIRST = datetime.now(UTC).date() - timedelta(days=DAYS)
LARGE_DAY: date = FIRST
USUAL_DAY: date = FIRST + timedelta(days=DAYS // 2)

_SOURCE = f"'{callbacks.SOURCE}'"
_TX = "'0x' || lpad(n::text, 64, '0')"
_ADDRESS = "'0x' || lpad(n::text, 40, '0')"
_ID = "'filled-' || n"
_IS_LOST, _WAS_BREAK = "n % 100 = 0", "n % 100 = ANY(ARRAY[1, 2])"
# An order for each number, and its moment: the large day first, and then the others.
_NUMBERS = """
    CREATE TEMP TABLE numbers AS SELECT n, %(first)s::timestamptz + CASE WHEN n <= %(large)s
        THEN n * interval '86000 s' / %(large)s
        ELSE interval '1 day' + (n - %(large)s) * (%(days)s - 1) * interval '86400 s' / (%(orders)s - %(large)s + 1) END AS at
    FROM generate_series(1, %(orders)s) n
"""
_FACTS = (
    f"""
    INSERT INTO orders (namespace, orderid, source, appid, state, version, user_ref, amount_micros, credited_micros,
        registered, flags, chain, address, created_at, updated_at)
    SELECT {_SOURCE}, {_ID}, {_SOURCE}, '{callbacks.APPID}', CASE WHEN {_IS_LOST} THEN 'created' ELSE 'succeeded' END, 1,
        '1', 3000000, CASE WHEN {_IS_LOST} THEN 0 ELSE 3000000 END, true, '', 'ethereum', {_ADDRESS}, at, at FROM numbers
    """,
    f"""
    INSERT INTO callbacks (source, verdict, namespace, orderid, status, part, user_ref, amount_micros, amount_raw,
        unit_micros, occurred_at, signature, secret_id, origin, flags, headers, received_at)
    SELECT {_SOURCE}, 'accepted', {_SOURCE}, {_ID}, 'succeeded', '', '1', 3000000, '30000', 100, at, 'signed-' || n, 's1',
        'callback', '', '{{}}', at FROM numbers WHERE NOT ({_IS_LOST}) ORDER BY n
    """,
    f"""
    INSERT INTO events (sequence, id, type, source, namespace, orderid, order_version, amount_micros, delta_micros, flags,
        body, created_at)
    SELECT n, 'evt_' || lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || lpad(to_hex(n), 20, '0'),
        'recharge.succeeded', {_SOURCE}, {_SOURCE}, {_ID}, 1, 3000000, 3000000, '', '{{}}', at
    FROM numbers WHERE NOT ({_IS_LOST})
    """,
    f"""
    INSERT INTO provider_facts (source, orderid, namespace, via, status, raw_status, amount_micros, amount_raw, unit_micros,
        tx_hash, occurred_at, changed_at, checked_at)
    SELECT {_SOURCE}, {_ID}, {_SOURCE}, 'query', 'succeeded', 'paid', 3000000, '3', 100, {_TX}, at, at, at FROM numbers
    """,
    f"INSERT INTO addresses (chain, address, role, created_at) SELECT 'ethereum', {_ADDRESS}, 'deposit', at FROM numbers",
    f"""
    INSERT INTO transfers (chain, tx_hash, log_index, block_number, block_hash, block_time, contract, sender, recipient,
        amount_micros, rest, is_final, seen_at)
    SELECT 'ethereum', {_TX}, 0, n, {_TX}, at, '0xdac17f958d2ee523a2206206994597c13d831ec7', '0x{"9" * 40}', {_ADDRESS},
        3000000, 0, true, at FROM numbers
    """,
    f"""
    INSERT INTO matches (chain, tx_hash, log_index, namespace, orderid, rule, flags, matched_at, final_at)
    SELECT 'ethereum', {_TX}, 0, {_SOURCE}, {_ID}, 'address', '', at, at FROM numbers
    """,
    f"""
    INSERT INTO match_states (namespace, orderid, verdict, kinds, flags, drift_micros, changed_at)
    SELECT {_SOURCE}, {_ID}, CASE WHEN {_IS_LOST} THEN 'break' ELSE 'matched' END,
        CASE WHEN {_IS_LOST} THEN 'missing_callback' ELSE '' END, '', 0, at FROM numbers
    """,
    f"""
    INSERT INTO breaks (id, kind, severity, state, namespace, orderid, amount_micros, evidence, first_seen, last_seen,
        resolved_at)
    SELECT 'brk_' || n, CASE WHEN {_IS_LOST} THEN 'missing_callback' ELSE 'amount_mismatch' END,
        CASE WHEN {_IS_LOST} THEN 1 ELSE 2 END, CASE WHEN {_IS_LOST} THEN 'open' ELSE 'resolved' END, {_SOURCE}, {_ID},
        3000000, '{{}}', at, at, CASE WHEN {_IS_LOST} THEN NULL ELSE at + interval '1 hour' END
    FROM numbers WHERE {_IS_LOST} OR {_WAS_BREAK}
    """,
)


def fill(connection: Connection[Any]) -> None:
    """Store the month, as a database that has settled: statistics, and nothing left to judge."""
    moments = {"first": datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC), "days": DAYS}
    connection.execute(_NUMBERS, moments | {"orders": ORDERS, "large": LARGE})
    for statement in _FACTS:
        connection.execute(statement)
    connection.execute("TRUNCATE dirty")
    connection.execute("VACUUM ANALYZE")
