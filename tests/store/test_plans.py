"""Plans under a lock: none reads more rows than the batch has keys, however large the tables are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import ClientCursor
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, event, text

from relay.flows.committer import Committer
from relay.flows.outcomes import settlement_of
from relay.ports import Answer
from relay.store import ageing, callbacks, claims, creations, day_figures, events, evidence, inquiries, outbox
from relay.store import engine as store
from relay.store.engine import make_engine, reading, writing
from relay.store.outbox import Claim, Settlement
from tests.builders import NOON, a_callback
from tests.fakes import FakeMemory, numbered_ids
from tests.flows.test_committer import arrival, subscribe
from tests.rows import a_stored_callback

BATCH, BEFORE, ENDPOINTS, LEASE = 5, 3_000, 3, timedelta(seconds=45)
# A batch meets every endpoint, and every source that is paused; those are few.
LARGE = {"callbacks", "orders", "events", "deliveries", "attempts", "dirty"}


@pytest.fixture
def filled(postgres_url: str) -> Iterator[Engine]:
    """A database that has seen some thousands of orders."""
    engine = make_engine(postgres_url)
    subscribe(engine, ENDPOINTS)
    with writing(engine) as connection:
        for statement in _FILL:
            connection.execute(text(statement), {"count": BEFORE, "now": NOON})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    yield engine
    engine.dispose()


Reads = list[tuple[str, str, float]]


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def mode(request: pytest.FixtureRequest) -> str:
    """A plan that is made for the batch, and one that is made for any."""
    return str(request.param)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, mode: str) -> Reads:
    """What is read of large tables by statements that travel together."""
    read: Reads = []

    def send(connection: Connection, asked: Sequence[Any], *, commit: bool = False) -> list[Any]:
        answers = [_explained(connection, statement, given, mode, read) for statement, given in asked]
        if commit:
            connection.connection.driver_connection.commit()  # type: ignore[union-attr]  # it is open
        return answers

    monkeypatch.setattr(store, "_send", send)
    return read


def test_a_batch_reads_no_more_rows_than_it_has_keys(filled: Engine, read: Reads) -> None:
    """Of new orders and of known ones."""
    committer = Committer(filled, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids())
    for name in ("new", "old"):
        committer.commit(
            [arrival(a_callback(orderid=f"{name}-{n}", signature=f"{name}-{n}-again")) for n in range(BATCH)]
        )
    assert {table for table, *_ in read} >= {"callbacks", "orders", "events"}
    assert [one for one in read if one[2] > BATCH] == []


def test_a_claim_reads_what_it_takes_and_as_much_of_each_endpoint(
    filled: Engine, read: Reads, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With slots for hundreds and room for a few; of one endpoint in order, and of one at a rate, too. Their outcomes as well."""
    with writing(filled) as connection:
        connection.execute(text("UPDATE endpoints SET ordered = (id = 'ep_0'), rate = CASE id WHEN 'ep_1' THEN 9 END"))

    def look(connection: Connection, asked: dict[str, Any]) -> list[tuple[int, bool]]:
        found = _explained(connection, outbox._POSTGRES_DUE, asked, mode, read)
        return [(row["id"], row["waits"]) for row in found]

    monkeypatch.setattr(outbox, "_postgres_look", look)
    for _ in range(2):
        with writing(filled, lock=store.CLAIM_LOCK) as connection:
            claims = outbox.claim(connection, owner="me", room=BATCH, now=NOON, lease_s=45)
            outbox.settle(connection, [a_settlement(claim) for claim in claims[1:]])
            assert len(claims) == BATCH
    assert {table for table, *_ in read} >= {"deliveries", "events", "attempts"}
    assert [one for one in read if one[2] > BATCH * ENDPOINTS] == []


def a_settlement(claim: Claim) -> Settlement:
    """What the endpoint made of it: all is well."""
    return settlement_of(claim, Answer(status=200, error=None, latency_ms=1), now=NOON, jitter=0.5)


def test_what_vanished_is_found_among_what_is_on_its_way(filled: Engine, mode: str) -> None:
    """Whatever waits or has ended beside it is not read."""
    with writing(filled) as connection:
        for kind, until in (("id BETWEEN 4 AND 20", NOON + LEASE), ("id <= 3", NOON - LEASE)):
            leased = f"UPDATE deliveries SET state = 'sending', attempts = 1, lease_until = :until WHERE {kind}"
            connection.execute(text(leased), {"until": until})
    read: Reads = []
    with reading(filled) as connection:
        found = _explained(connection, outbox._EXPIRED, {"now": NOON, "most": 500}, mode, read)
        assert sorted(row["delivery_id"] for row in found) == [1, 2, 3]
        assert [one.delivery_id for one in outbox.expired(connection, now=NOON)] == [1, 2, 3]
    assert {table for table, *_ in read} >= {"deliveries", "events"}
    assert [one for one in read if one[2] > 20] == []


def test_sqlite_finds_what_it_claims_by_key(sqlite_url: str) -> None:
    """No statement of a claim or of its outcomes walks a table, or an index, from end to end."""
    engine = make_engine(sqlite_url)
    asked = (outbox._SQLITE_FREE, outbox._SQLITE_DUE, outbox._LEASE, outbox._OPEN, outbox._CLAIMED, outbox._EXPIRED)
    with reading(engine) as connection:
        settled = (outbox._CLOSE_ATTEMPTS, outbox._CLOSE_DELIVERIES, outbox._FORGET_ATTEMPTS, outbox._UNLEASE)
        for statement in (*asked, *settled):
            spelled = str(getattr(statement, "sqlite", statement))
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {spelled}", _nothing(spelled))
            walked = [step for *_, step in steps if re.match(r"SCAN (?!endpoints|p\b|json_each|g\b|\()", step)]
            assert walked == [], spelled
    engine.dispose()


# What is looked for among many others that are not it.
LISTS: dict[str, Callable[[Connection], object]] = {
    "what was refused": lambda one: callbacks.page(one, after=None, limit=BATCH, verdict="rejected"),
    "what contradicts": lambda one: callbacks.page(one, after=None, limit=BATCH, verdict="conflict"),
    "what was refused so": lambda one: callbacks.page(one, after=None, limit=BATCH, reason="forgery"),
    "what is reprocessed": lambda one: callbacks.rejected(one, after=None, limit=BATCH, reason=None, source=None),
    "what was refused long ago": lambda one: ageing.drop_rejected(one, before=NOON + LEASE, most=BATCH),
    "what no service was told": lambda one: events.page(one, scope=None, after=50, limit=BATCH, unsent=True),
}


@pytest.mark.parametrize("name", LISTS)
def test_what_is_rare_is_found_without_the_rest(filled: Engine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Not even a stretch of events is longer than the page says, and its deliveries are bounded with it."""
    monkeypatch.setattr(events, "LOOKED_THROUGH", BATCH)
    for _ in range(BATCH):
        a_stored_callback(filled)
    with filled.connect() as connection:
        read = [
            one
            for statement, given in _asked(connection, LISTS[name])
            for ((plans,),) in [connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", given)]
            for one in _reads(plans[0]["Plan"])
        ]
    assert read
    assert [one for one in read if one[2] > BATCH * ENDPOINTS] == []


KEY, HASH = ("crossing", "old-1"), "0x" + "ab" * 32
WAITING: dict[str, Callable[[Connection], object]] = {
    "which orders are to be asked for": lambda one: creations.next_due(one, now=NOON, busy=["crossing"]),
    "what other witnesses say": lambda one: evidence.facts_of(one, [KEY], {KEY: [HASH]}),
    "where a transaction paid us": lambda one: claims.found_at(one, [HASH]),
    "what a transaction moved": lambda one: inquiries.moves_of(one, HASH),
    "who called back lately": lambda one: day_figures.heard(one, since=NOON),
}


@pytest.mark.parametrize("name", [*LISTS, *WAITING])
def test_sqlite_finds_what_is_rare_by_its_own_index(sqlite_url: str, name: str) -> None:
    """No walk of a table, nor of its first or last so many rows."""
    engine = make_engine(sqlite_url)
    a_stored_callback(engine)
    with engine.connect() as connection:
        for statement, given in _asked(connection, (LISTS | WAITING)[name]):
            steps = [step for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
            assert [
                step
                for step in steps
                if re.match(r"SCAN (callbacks|events|deliveries|creations|t)\b|.*[( ]rowid<", step)
            ] == [], statement
    engine.dispose()


def _asked(connection: Connection, act: Callable[[Connection], object]) -> list[tuple[str, Any]]:
    """Return what an act asks of the database; what it changed is undone."""
    asked: list[tuple[str, Any]] = []
    event.listen(connection, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    act(connection)
    connection.rollback()
    return asked[:]


def _nothing(spelled: str) -> dict[str, Any]:
    return dict.fromkeys(re.findall(r":(\w+)", spelled), 0) | {"rows": "[]"}


def _explained(connection: Connection, statement: Any, given: Mapping[str, Any], mode: str, read: list[Any]) -> Any:
    """Run one statement under EXPLAIN, and again for its rows where it has some."""
    driver: Any = connection.connection.driver_connection
    spelled = store._spelled(statement)
    is_read = spelled.lstrip().startswith("SELECT")
    if "set_config" not in spelled:
        names = list(dict.fromkeys(_PLACE.findall(spelled)))
        numbered = _PLACE.sub(lambda found: f"${names.index(found[1]) + 1}", spelled)
        kinds = f"({', '.join(_KINDS[type(given[name])] for name in names)})" if names else ""
        values = f"({', '.join(['%s'] * len(names))})" if names else ""
        cursor = ClientCursor(driver)
        cursor.execute(f"SET LOCAL plan_cache_mode = '{mode}'")
        cursor.execute(f"PREPARE probed {kinds} AS {numbered}")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE probed {values}", [given[name] for name in names])
        ((plans,),) = cursor.fetchall()
        cursor.execute("DEALLOCATE probed")
        read.extend(_reads(plans[0]["Plan"]))
    return driver.cursor(row_factory=dict_row).execute(spelled, given).fetchall() if is_read else []


def _reads(node: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield what each scan of a large table, or of the batch, read in rows: those it passed on, and those it looked at in vain."""
    looked = sum(
        node.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    kind, table = node["Node Type"], node.get("Relation Name", node.get("Index Name", ""))
    # The batch itself, spread by a function, is gone through once, and not again for each row of a table.
    if "Scan" in kind and (table in LARGE or "Bitmap" in kind or kind == "Function Scan"):
        yield table, kind, looked * node["Actual Loops"]
    for below in node.get("Plans", ()):
        yield from _reads(below)


_PLACE = re.compile(r"%\((\w+)\)s")
_KINDS = {str: "text", int: "bigint", datetime: "timestamptz"}
_FILL = (
    """
    INSERT INTO orders (namespace, orderid, source, state, version, user_ref, amount_micros, credited_micros, registered, flags,
        created_at, updated_at)
    SELECT 'crossing', 'old-' || n, 'crossing', 'succeeded', 1, '1', 3000000, 3000000, false, '', :now, :now
    FROM generate_series(0, :count) n
    """,
    """
    INSERT INTO callbacks (source, verdict, namespace, orderid, status, user_ref, amount_micros, amount_raw, unit_micros,
        signature, origin, flags, headers, received_at)
    SELECT 'crossing', 'accepted', 'crossing', 'old-' || n, 'succeeded', '1', 3000000, '30000', 100, 'signed-' || n, 'callback',
        '', '{}', :now
    FROM generate_series(0, :count) n
    """,
    """
    INSERT INTO events (sequence, id, type, source, namespace, orderid, order_version, amount_micros, flags, body, created_at)
    SELECT n + 1, 'evt_old' || n, 'recharge.succeeded', 'crossing', 'crossing', 'old-' || n, 1, 3000000, '', '{}', :now
    FROM generate_series(0, :count) n
    """,
    """
    INSERT INTO deliveries (event_sequence, endpoint_id, state, attempts, failures, unknowns, due_at, created_at)
    SELECT e.sequence, p.id, 'pending', 0, 0, 0, :now, :now FROM events e, endpoints p WHERE :count > 0
    """,
)
