"""Own the measurement of the console's lists at a million orders on Postgres: one search for each way to name one, and lists that find nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text

from benchmarks.parts import Bench
from relay.store import deliveries, events
from relay.store.engine import make_engine, reading, writing
from relay.store.lookup import orders_named
from relay.store.migrate import upgrade

ORDERS = 1_000_000
TIMES = 30
PER_PAGE = 50
MIDDLE = ORDERS // 2
# By each way, what names an order in the middle; the amount is that of a thousand orders.
NAMES = {
    "order": f"sh-{MIDDLE}",
    "user": f"u{MIDDLE % 50_000}",
    "address": f"0x{MIDDLE:040x}",
    "amount": "501.00",
    "event": f"evt_{MIDDLE}",
    "transaction": f"{MIDDLE:064X}",
    "nothing": "no such thing",
}

_NUMBERS = f"generate_series(1, {ORDERS}) AS i"
_FILL = (
    f"""
    INSERT INTO orders (namespace, orderid, source, state, user_ref, amount_micros, credited_micros, version, registered, flags,
        chain, address, created_at, updated_at)
    SELECT 'crossing', 'sh-' || i, 'crossing', 'succeeded', 'u' || (i % 50000), (i % 1000 + 1) * 1000000,
        (i % 1000 + 1) * 1000000, 1, false, '', 'ethereum', '0x' || lpad(to_hex(i), 40, '0'), now(), now() FROM {_NUMBERS}
    """,
    f"""
    INSERT INTO events (sequence, id, type, source, namespace, orderid, flags, body, created_at)
    SELECT i, 'evt_' || i, 'recharge.succeeded', 'crossing', 'crossing', 'sh-' || i, '', '{{}}', now() FROM {_NUMBERS}
    """,
    f"""
    INSERT INTO matches (chain, tx_hash, log_index, namespace, orderid, rule, flags, matched_at)
    SELECT 'ethereum', '0x' || lpad(to_hex(i), 64, '0'), 0, 'crossing', 'sh-' || i, 'tx', '', now() FROM {_NUMBERS}
    """,
    """
    INSERT INTO endpoints (id, url, description, format, state, concurrency, secrets, created_at)
    VALUES ('ep_bench', 'http://127.0.0.1/', '', 'standard', 'enabled', 32, '[]', now())
    """,
    f"""
    INSERT INTO deliveries (event_sequence, endpoint_id, state, attempts, failures, unknowns, due_at, created_at, finished_at)
    SELECT i, 'ep_bench', 'delivered', 1, 0, 0, now(), now(), now() FROM {_NUMBERS}
    """,
)


def run(bench: Bench) -> str:
    """Return the table: of each way and each list, the median and the slowest of TIMES, in milliseconds."""
    engine = make_engine(bench.machine.new_database("search"))
    upgrade(engine)
    with writing(engine) as connection:
        _fill(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    lines = [f"| {way} | {statistics.median(took):.1f} | {max(took):.1f} |" for way, took in _measured(engine).items()]
    engine.dispose()
    return "\n".join([f"| of {TIMES} at {ORDERS:,} orders | median ms | slowest ms |", "|---|---|---|", *lines])


def _fill(connection: Connection) -> None:
    """The triggers that log changes for the reconciler would only double the work."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    for statement in _FILL:
        connection.execute(text(statement))


def _measured(engine: Engine) -> dict[str, list[float]]:
    return {way: [_once(engine, asked) for _ in range(TIMES)] for way, asked in _asked().items()}


def _asked() -> dict[str, Callable[[Connection], object]]:
    """What is read for each way of searching, and for the lists that have to look through all that is well."""
    searches = {f"search by {way}": partial(_search, name=name) for way, name in NAMES.items()}
    page: dict[str, Any] = {"after": None, "limit": PER_PAGE}
    return {
        **searches,
        "events, newest first": partial(events.page, scope=None, newest_first=True, **page),
        "events that no service was told: none": partial(
            events.page, scope=None, newest_first=True, unsent=True, **page
        ),
        "deliveries that have not arrived: none": partial(deliveries.page, owner=None, undelivered=True, **page),
    }


def _search(connection: Connection, *, name: str) -> object:
    return orders_named(connection, name, namespaces=["crossing"], chains=["ethereum"], after=None, limit=PER_PAGE)


def _once(engine: Engine, asked: Callable[[Connection], object]) -> float:
    begun = time.perf_counter()
    with reading(engine) as connection:
        asked(connection)
    return (time.perf_counter() - begun) * 1_000
