"""SQLite's one writer: who comes second waits for its turn, and is told when it takes too long."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from relay.errors import Unavailable
from relay.store import engine as store
from relay.store.engine import make_engine, reading, writing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with one table, nothing of ours."""
    path = tmp_path / "any.db"
    with writing(make_engine(f"sqlite:///{path}")) as connection:
        connection.execute(text("CREATE TABLE seen (who TEXT)"))
    return path


@contextmanager
def held(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process's transaction that writes."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def see(engine: Engine) -> None:
    """Write one row."""
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO seen VALUES ('me')"))


def test_a_second_writer_waits_for_the_first(file: Path) -> None:
    """However long SQLite itself would have slept meanwhile, it begins when the other has ended."""
    engine = make_engine(f"sqlite:///{file}")
    with held(file) as other:
        writer = threading.Thread(target=see, args=[engine])
        writer.start()
        time.sleep(0.2)
        assert writer.is_alive()
        other.execute("COMMIT")
        writer.join(timeout=5)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT who FROM seen")).scalars().all() == ["me"]


def test_a_writer_that_waits_too_long_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As unavailable, which callers repeat; the connection writes again afterwards, with its own patience."""
    monkeypatch.setattr(store, "PATIENCE_S", 0.05)
    engine = make_engine(f"sqlite:///{file}", pool_size=1)
    with held(file), pytest.raises(Unavailable):
        see(engine)
    see(engine)
    with reading(engine) as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 5_000


def test_who_only_reads_waits_for_nobody(file: Path) -> None:
    """The journal is written ahead."""
    with held(file), reading(make_engine(f"sqlite:///{file}")) as connection:
        assert connection.execute(text("SELECT count(*) FROM seen")).scalar() == 0
