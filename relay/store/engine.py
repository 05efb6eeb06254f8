"""Own the connection to the database: URL, pool, pragmas and the two transactions that need to be first."""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine, event, make_url, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from relay.errors import Unavailable

log = logging.getLogger(__name__)

# Any two constants of our own: the numbers only have to differ.
FEED_LOCK = 7_201_001
CLAIM_LOCK = 7_201_002
AUDIT_LOCK = 7_201_003
MATCH_LOCK = 7_201_004
LEAVING_LOCK = 7_201_005
# How long a writer waits for SQLite's lock, and how often it looks.
PATIENCE_S = 5.0
LOOK_EVERY_S = 0.001
# Connections that rest longer than this may have been cut by whoever is between us and the database.
IDLE_S = 1.0


def database_url(given: str) -> URL:
    """Return the SQLAlchemy URL for what platforms hand out (`postgres://…`, `sqlite:///…`)."""
    url = make_url(given)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def make_engine(given: str, *, pool_size: int = 3) -> Engine:
    """Build an engine; no connection is opened until the first use, so it may exist before a fork.

    `?pooler=transaction` in the URL says that a pooler such as PgBouncer lies between, in transaction mode.
    """
    url = database_url(given)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, pool_size)
    # A pooler in transaction mode mixes up the names under which statements are prepared.
    pooled = url.query.get("pooler") == "transaction"
    engine = create_engine(
        url.difference_update_query(["pooler"]),
        pool_size=pool_size,
        # The smallest plans give twenty connections for all processes: a pool opens none beyond what is reckoned with.
        max_overflow=0,
        pool_timeout=5,
        pool_recycle=280,
        connect_args={
            "connect_timeout": 5,
            "prepare_threshold": None if pooled else 5,
            "options": "-c statement_timeout=30000 -c lock_timeout=10000 -c timezone=UTC",
        },
    )
    _ping_after_idling(engine)
    return engine


def _ping_after_idling(engine: Engine) -> None:
    """Ask a connection that has rested whether it still lives; one in steady use need not be asked each time."""

    @event.listens_for(engine, "checkin")
    def _note(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ping(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - record.info.get("rests_since", time.monotonic()) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # The pool then replaces the connection and goes on.
            raise DisconnectionError from error


def _sqlite_engine(url: URL, pool_size: int) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        connect_args={"timeout": PATIENCE_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        # The driver must not open transactions by itself: each begins with our own BEGIN, read or write.
        connection.isolation_level = None
        # A page that every batch changes is written to the file itself once for 16 MiB of the journal: a callback's share of a
        # batch took 570 us of CPU instead of 650.
        for pragma in (_OWN_PATIENCE, "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000"):
            connection.execute(f"PRAGMA {pragma}")
        # SQLite does not wait for a lock to change the journal: of two that open a new file together, one would fail.
        _when_free(connection, "PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if connection.get_execution_options().get("writes"):
            _begin_writing(driver)
        else:
            driver.execute("BEGIN")

    return engine


_OWN_PATIENCE = f"busy_timeout={PATIENCE_S * 1_000:.0f}"


def _begin_writing(connection: sqlite3.Connection) -> None:
    """Take the one writer's lock, or raise Unavailable.

    SQLite's own waiting looks ever more rarely, at last each tenth of a
    second: beside two busy processes a third would seldom meet a free moment.
    Measured with all processes at work: a callback's p99 was 261 ms, and is 112.
    """
    connection.execute("PRAGMA busy_timeout=0")
    try:
        _when_free(connection, "BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise Unavailable("the database is busy, or does not answer") from error
    finally:
        connection.execute(f"PRAGMA {_OWN_PATIENCE}")


def _when_free(connection: sqlite3.Connection, statement: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(LOOK_EVERY_S)
        else:
            return


def is_sqlite(connection: Connection | Engine) -> bool:
    """Tell which of the two databases this is."""
    return connection.dialect.name == "sqlite"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads; a database that does not answer is `Unavailable`."""
    with _translated(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, and whose statements all see one state: what is summed twice comes to the same."""
    with reading(engine) as connection:
        # SQLite shows a transaction one state from its first read on, whoever commits beside it.
        if not is_sqlite(connection):
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            connection.execute(_WHOLE_DAYS)
        yield connection


# Who looks at a whole day sorts all of its orders: in memory that costs a third less than by way of the disk. And who reads
# a list piece by piece reads all of it: a plan that has the first tenth early takes longer for the rest.
_WHOLE_DAYS = text("SELECT set_config('work_mem', '32MB', true), set_config('cursor_tuple_fraction', '1', true)")


@contextmanager
def writing(engine: Engine, *, lock: int | None = None) -> Iterator[Connection]:
    """A transaction that writes: committed when the block ends, rolled back when it raises.

    With `lock` (FEED_LOCK, CLAIM_LOCK) it is the only one of its kind until
    its commit is visible. SQLite has one writer anyway and takes its lock at BEGIN.
    """
    with (
        _translated(),
        engine.connect().execution_options(writes=True) as connection,
        _left_if_read_only(connection),
        connection.begin(),
    ):
        if lock is not None:
            take_lock(connection, lock)
        last: list[Asked] = []
        connection.info[_LAST] = last
        yield connection
        if last:
            _send(connection, last, commit=True)


def take_lock(connection: Connection, lock: int) -> None:
    """Wait to be the only one of a kind until this transaction (one of `writing`) ends."""
    if not is_sqlite(connection):
        connection.execute(_ADVISORY_LOCK, {"lock": lock})


# Who takes a lock touches few rows, all by key. A plan made while the tables were small would go on scanning them
# when they are large, so until this transaction ends there are only plans that use the keys. For who claims
# a row costs as much as a page, or the few attempts of a young table would be gone through, each with the whole batch.
_ADVISORY_LOCK = text(
    f"""
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
        set_config('enable_mergejoin', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('enable_material', 'off', true),
        set_config('cpu_tuple_cost', CASE WHEN :lock = {CLAIM_LOCK} THEN '1' ELSE current_setting('cpu_tuple_cost') END, true),
        pg_advisory_xact_lock(:lock)
    """
)


# A statement with its parameters, or the driver's own SQL with a tuple of values for each row.
Asked = tuple[Executable | str, Any]
_LAST = "relay_last_statements"


def together(connection: Connection, *asked: Asked) -> list[Sequence[Mapping[str, Any]]]:
    """Run statements one after the other in one round trip; return the rows of each.

    On Postgres they go past SQLAlchemy through the driver's pipeline: an
    exchange for each statement would cost more than the statement. SQLite has
    no round trips to save.
    """
    if is_sqlite(connection):
        return [_asked_one(connection, one) for one in asked]
    return _send(connection, asked)


def _asked_one(connection: Connection, asked: Asked) -> Sequence[Mapping[str, Any]]:
    statement, given = asked
    if isinstance(statement, str):
        connection.exec_driver_sql(statement, given)
        return []
    return _rows(connection.execute(statement, given))


def in_pieces(
    connection: Connection, asked: tuple[Executable, Mapping[str, Any]], *, size: int = 2_000
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a statement, so many at a time, whatever their number: memory stays flat.

    On Postgres they go past SQLAlchemy, which takes longer for a row than the database does.
    """
    statement, parameters = asked
    if is_sqlite(connection):
        with connection.execute(statement, parameters, execution_options={"yield_per": size}) as rows:
            for row in rows.mappings():
                yield dict(row)
        return
    driver: Any = connection.connection.driver_connection
    try:
        # Only a cursor with a name stays in the database; any other is handed all of its rows at once.
        with driver.cursor(name="pieces", row_factory=dict_row) as cursor:
            cursor.itersize = size
            cursor.execute(_spelled(statement), parameters)
            yield from cursor
    except psycopg.Error as error:
        raise DBAPIError.instance("(in pieces)", None, error, psycopg.Error, dialect=connection.dialect) from error


def with_commit(connection: Connection, *asked: Asked) -> None:
    """Send statements in one round trip with the COMMIT that ends this transaction (one of `writing`).

    Only for statements whose rows nobody reads; what they object to is raised at the end of the block.
    """
    if is_sqlite(connection):
        together(connection, *asked)
    else:
        connection.info[_LAST].extend(asked)


def _send(connection: Connection, asked: Sequence[Asked], *, commit: bool = False) -> list[Sequence[Mapping[str, Any]]]:
    driver: Any = connection.connection.driver_connection
    log.debug("statements_sent", extra={"count": len(asked)})
    try:
        with driver.pipeline():
            cursors = [
                driver.cursor(row_factory=dict_row).execute(_spelled(one), given, prepare=True) for one, given in asked
            ]
            if commit:
                driver.commit()
        # A description of every column is dear to make; the place in the rows is there exactly when they are.
        return [[] if cursor.rownumber is None else cursor.fetchall() for cursor in cursors]
    except psycopg.Error as error:
        raise DBAPIError.instance("(together)", None, error, psycopg.Error, dialect=connection.dialect) from error


def lock_for(connection: Connection, lock: int) -> list[Asked]:
    """Return what `together` has to ask first, so that what follows is read by the only one of a kind."""
    return [] if is_sqlite(connection) else [(_ADVISORY_LOCK, {"lock": lock})]


def _rows(result: CursorResult[Any]) -> Sequence[Mapping[str, Any]]:
    if not result.returns_rows:
        return []
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]


@functools.cache
def _spelled(statement: Executable | str) -> str:
    """The text that the driver takes; our statements are few and never change."""
    if isinstance(statement, str):
        return statement
    compiled = statement.compile(dialect=PGDialect_psycopg())  # type: ignore[attr-defined,no-untyped-call]  # a text can be
    return str(compiled)


# What Postgres calls a write that it does not take: it is a standby, or was made one.
_READ_ONLY = "25006"


@contextmanager
def _left_if_read_only(connection: Connection) -> Iterator[None]:
    """Give up a connection to a server that takes no writes: after a failover the next one leads to a server that does."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _READ_ONLY:
            raise
        connection.invalidate(error)
        raise Unavailable("the database takes no writes") from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise Unavailable("the database does not answer") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the connection to the database was lost") from error
        raise
    except SQLAlchemyError as error:
        if type(error).__name__ == "TimeoutError":
            raise Unavailable("no free connection to the database") from error
        raise
