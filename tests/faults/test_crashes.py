"""Kill every process in turn under traffic; the subscribers' own records must show that nothing was lost or credited twice."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from tests.system import System, a_body, a_system, eventually

pytestmark = pytest.mark.faults

SUBSCRIBERS = ("wallet", "ledger", "billing")


class Traffic:
    """A provider that calls back on and on, some orders twice, and remembers what was acked."""

    def __init__(self, system: System, *, callers: int = 4) -> None:
        self.acked: set[str] = set()
        self.unacked: set[str] = set()
        self._system = system
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        while not self._stopped.is_set():
            number = next(self._numbers)
            orderid = f"sh-{number:05d}"
            body = a_body(orderid)
            status, answer = self._system.call_back(body)
            if number % 5 == 0:
                self._system.call_back(body)
            (self.acked if (status, answer) == (200, b"success") else self.unacked).add(orderid)
            self._stopped.wait(0.02)

    def grow(self, count: int, *, within_s: float = 40.0) -> None:
        """Wait until so many more orders were acked: the system works again."""
        wanted = len(self.acked) + count
        eventually(lambda: len(self.acked) >= wanted, within_s=within_s, what=f"{count} more acks")

    def stop(self) -> None:
        """Let the last calls end."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=30)


def test_killing_every_process_in_turn_loses_nothing_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    """Every acked order reaches each subscriber; an order has one event; a repeat bears the same id and bytes."""
    with a_system(database_url, tmp_path) as (system, subscribers):
        traffic = Traffic(system)
        traffic.grow(30)
        for name in ("web", "worker", "clock", "redis"):
            system.kill(name)
            traffic._stopped.wait(0.5)
            system.start(name)
            traffic.grow(30)
        traffic.stop()

        def all_told() -> bool:
            return all(traffic.acked <= set(subscribers.orders_of(name)) for name in SUBSCRIBERS)

        eventually(all_told, within_s=90, what=f"every acked order was told\n{system.log('worker')[-2000:]}")
        assert len(traffic.acked) > 120
        assert subscribers.refused == []
        for name in SUBSCRIBERS:
            told = subscribers.orders_of(name)
            assert [orderid for orderid, ways in told.items() if len(ways) != 1] == []
            # What was not acked may have been stored all the same; what nobody sent must not appear.
            assert set(told) <= traffic.acked | traffic.unacked


def test_a_flushed_redis_and_a_redis_that_stays_away_lose_nothing(database_url: str, tmp_path: Path) -> None:
    """Callbacks are acked and deliveries go out while Redis is dead, only slower."""
    with a_system(database_url, tmp_path) as (system, subscribers):
        traffic = Traffic(system)
        traffic.grow(20)
        system.kill("redis")
        traffic.grow(20)
        traffic.stop()

        def all_told() -> bool:
            return all(traffic.acked <= set(subscribers.orders_of(name)) for name in SUBSCRIBERS)

        eventually(all_told, within_s=60, what="every acked order was told without Redis")
