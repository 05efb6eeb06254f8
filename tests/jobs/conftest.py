"""Real worker and clock processes, with a database and a Redis of their own and something to deliver."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from redis import ConnectionError, Redis  # noqa: A004  # Redis's own, which is no OSError
from sqlalchemy import Engine, insert, select

from relay.bootstrap import now
from relay.core.webhooks import new_secret
from relay.edge.vault import Vault
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import attempts, deliveries, endpoints
from tests.builders import a_callback, a_source
from tests.fakes import FakeMemory, numbered_ids
from tests.system import ROOT, System


class Shop:
    """A subscriber that takes its time, and counts what reached it."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.ids: list[str] = []
        self.answered: list[str] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                shop.ids.append(self.headers["webhook-id"])
                time.sleep(shop.takes_s)
                self.send_response(204)
                self.end_headers()
                shop.answered.append(self.headers["webhook-id"])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class House:
    """A system of which a test starts what it needs, and whose database it may look into."""

    def __init__(self, system: System, engine: Engine, shop: Shop) -> None:
        self.system, self.engine, self.shop = system, engine, shop
        self._announced = 0

    @property
    def redis(self) -> Redis:
        """A client of its Redis."""
        return Redis.from_url(self.system.environment["REDIS_URL"])

    def has_redis(self) -> bool:
        """Whether its Redis answers."""
        try:
            return bool(self.redis.ping())
        except ConnectionError:
            return False

    def announce(self) -> None:
        """Let one more order be paid, so that the shop has to be told."""
        self._announced += 1
        committer = Committer(self.engine, FakeMemory(), clock=now, new_id=numbered_ids(f"{self._announced}_"))
        paid = a_callback(orderid=f"o{self._announced}", signature=f"s{self._announced}")
        raw = {"source": "crossing", "received_at": now()}
        committer.commit([Arrival(raw=raw, callback=paid, source=a_source())])

    def subscribe(self) -> None:
        """Register the shop as an endpoint."""
        vault = Vault([self.system.environment["SECRET_KEY"]])
        secret = vault.encrypt(new_secret(b"s" * 32))
        with writing(self.engine) as connection:
            connection.execute(
                insert(endpoints),
                {
                    "id": "shop",
                    "url": f"http://127.0.0.1:{self.shop.port}/",
                    "description": "",
                    "format": "standard",
                    "state": "enabled",
                    "concurrency": 32,
                    "secrets": json.dumps([{"secret": secret, "expires_at": None}]),
                    "created_at": now(),
                },
            )

    def states(self) -> list[str]:
        """The state of every delivery."""
        with reading(self.engine) as connection:
            return list(connection.scalars(select(deliveries.c.state).order_by(deliveries.c.id)))

    def outcomes(self) -> list[str | None]:
        """The outcome of every attempt."""
        with reading(self.engine) as connection:
            return list(connection.scalars(select(attempts.c.outcome).order_by(attempts.c.delivery_id)))


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    """A house on SQLite in which nothing runs yet, with one subscriber."""
    yield from _house(sqlite_url, tmp_path)


@pytest.fixture
def postgres_house(postgres_url: str, tmp_path: Path) -> Iterator[House]:
    """A house on Postgres in which nothing runs yet, with one subscriber."""
    yield from _house(postgres_url, tmp_path)


def _house(url: str, directory: Path) -> Iterator[House]:
    jobs = directory / "overlay" / "jobs"
    jobs.mkdir(parents=True)
    for module in (ROOT / "jobs").glob("*.py"):
        (jobs / module.name).symlink_to(module)
    # Else the directory a process starts in would come before the overlay.
    environment = {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": f"{jobs.parent}:{ROOT}",
        "TRACE": str(directory / "trace"),
        "SECRET_KEY": "k" * 40,
    }
    system, engine, shop = System(url, directory, **environment), make_engine(url), Shop()
    house = House(system, engine, shop)
    house.subscribe()
    try:
        yield house
    finally:
        system.stop()
        engine.dispose()
        shop.close()
