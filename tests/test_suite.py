"""The suite's own parts keep what tests rely on: an emptied database is like a new one, and Ctrl-C is felt."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, make_url, select, text

from relay.store.engine import make_engine, reading, writing
from relay.store.tables.base import metadata
from tests.conftest import LONG, in_earnest
from tests.postgres import KeptDatabase
from tests.rows import a_delivery, a_stored_callback, a_stored_order, an_endpoint, an_event


@pytest.fixture
def database(postgres_server: str, postgres_template: str) -> Iterator[KeptDatabase]:
    """One of its own, beside that of the other tests."""
    kept = KeptDatabase(postgres_server, postgres_template, name="tried")
    yield kept
    kept.drop()


def filled(database: KeptDatabase) -> int:
    """Leave rows behind in a few tables, and very many in one; the number of a callback."""
    engine = make_engine(database.take())
    a_delivery(engine, 1, an_endpoint(engine))
    an_event(engine, 1)
    a_stored_order(engine, "sh-1")
    number = a_stored_callback(engine)
    with writing(engine) as connection:
        connection.execute(
            text("INSERT INTO dirty (namespace, orderid) SELECT 'crossing', n FROM generate_series(1, 5000) n")
        )
    engine.dispose()
    return number


def rows_of(engine: Engine) -> dict[str, int]:
    with reading(engine) as connection:
        counted = {
            name: connection.scalar(select(func.count()).select_from(table)) for name, table in metadata.tables.items()
        }
    return {name: count for name, count in counted.items() if count}


def test_an_emptied_database_holds_no_row_and_counts_anew(database: KeptDatabase) -> None:
    """Whether its tables were deleted from or truncated; it is the same database."""
    first, url = filled(database), database.take()
    database.give_back()
    engine = make_engine(database.take())
    assert (database.take(), rows_of(engine)) == (url, {})
    engine.dispose()
    assert filled(database) == first


def test_a_database_whose_tables_were_changed_is_never_given_again(database: KeptDatabase) -> None:
    """What the test did to it may not reach the next one."""
    url = database.take()
    engine = make_engine(url)
    with writing(engine) as connection:
        connection.execute(text("DROP TRIGGER dirty_orders ON orders"))
    engine.dispose()
    database.give_back()
    assert database.take() != url


def test_only_the_suite_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """What is committed in earnest outlives the machine: FULL."""
    url = make_url(f"sqlite:///{tmp_path / 'relay.db'}")
    found = []
    for engine in (in_earnest(url, 1), make_engine(url.render_as_string())):
        with reading(engine) as connection:
            found.append(connection.scalar(text("PRAGMA synchronous")))
        engine.dispose()
    assert found == [2, 0]


def test_what_takes_longest_is_there() -> None:
    """A file that was moved would begin last again, and nobody would be told."""
    assert [path for path in LONG if not Path(__file__).parent.joinpath(path).exists()] == []


def test_ctrl_c_is_felt_by_what_a_test_starts() -> None:
    """Even where the suite was started in the background, which would be inherited."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
