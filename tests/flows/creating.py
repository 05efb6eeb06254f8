"""What the making of orders is tried with: a provider on real sockets, and a clock that sleeping moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select

from relay.core.actors import Actor
from relay.core.sources import Source
from relay.edge.provider import HTTPProvider
from relay.flows.creation import Creator, create
from relay.store import rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.core.calling import a_called_source
from tests.edge.providers import FakeProvider

ADMIN = Actor(id="key_1", name="a test", roles=frozenset({"admin"}))
FIELDS = {
    "source": "crossing",
    "orderid": "sh-1",
    "user_ref": "7",
    "amount": "3.5",
    "address": "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf",
}


class Clock:
    """Stands still but for who sleeps."""

    def __init__(self) -> None:
        self.at = NOON
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class World:
    """A creator, the provider behind it, and the clock it lives by."""

    def __init__(self, engine: Engine, provider: FakeProvider, **wishes: Any) -> None:
        self.engine, self.provider, self.clock = engine, provider, Clock()
        self.source: Source = a_called_source(provider.url, **wishes)
        self.creator = Creator(
            engine=engine,
            sources={"crossing": self.source},
            provider=HTTPProvider(),
            public_url="https://relay.example",
            allow_cidrs=(),
            clock=self.clock.now,
            sleep=self.clock.sleep,
        )

    def create(self, **changes: str) -> tuple[Any, Any]:
        """Ask for an order; return its row and its request's."""
        return create(self.creator, FIELDS | changes, kind="recharge", actor=ADMIN)

    def order(self, orderid: str = "sh-1") -> Any:
        """The row of an order."""
        return self.one(rows.orders, orderid)

    def request(self, orderid: str = "sh-1") -> Any:
        """The row of its request."""
        return self.one(rows.creations, orderid)

    def one(self, table: Any, orderid: str) -> Any:
        """The row of an order in a table, None when there is none."""
        with reading(self.engine) as connection:
            return connection.execute(select(table).where(table.c.orderid == orderid)).mappings().first()


@contextmanager
def a_world(engine: Engine, **wishes: Any) -> Iterator[World]:
    """A world whose provider stops at the end."""
    provider = FakeProvider()
    yield World(engine, provider, **wishes)
    provider.close()
