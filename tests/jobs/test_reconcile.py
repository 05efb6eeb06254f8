"""The job that reconciles, run in this process: whoever watches hears of each complete run, and of no other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from jobs import reconcile
from jobs.parts import runtime
from relay.bootstrap import now
from relay.store.engine import make_engine, reading
from relay.store.rows import breaks, leases
from tests.edge.listening import listening
from tests.rows import a_provider_fact, a_stored_order, add
from tests.web.conftest import ENVIRONMENT


@pytest.fixture
def heard(sqlite_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a watcher hears of the jobs of this process."""
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with listening(talk) as url:
        places = {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, "RELAY_ENDPOINT_ALLOW_CIDRS": "127.0.0.0/8"}
        for name, value in (ENVIRONMENT | places | {"RELAY_HEARTBEAT_URL": f"{url}/ping"}).items():
            monkeypatch.setenv(name, value)
        runtime.cache_clear()
        yield heard
        runtime().engine.dispose()
        runtime.cache_clear()


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """The same database."""
    engine = make_engine(sqlite_url)
    yield engine
    engine.dispose()


def test_each_complete_run_is_heard(heard: list[bytes], engine: Engine) -> None:
    """One that another process makes is that one's to tell."""
    a_stored_order(engine, "sh-1", state="created", credited_micros=0)
    a_provider_fact(engine, "sh-1")
    assert reconcile.run() == "complete"
    with reading(engine) as connection:
        assert connection.scalars(select(breaks.c.kind)).all() == ["missing_callback"]
    assert reconcile.run() == "complete"
    assert [one.split(b" HTTP")[0] for one in heard] == [b"GET /ping"] * 2
    with engine.begin() as connection:
        connection.execute(leases.delete())
    add(engine, leases, name="reconcile", owner="another", fence=9, expires_at=now() + timedelta(minutes=1))
    assert reconcile.run() == "busy"
    assert len(heard) == 2
