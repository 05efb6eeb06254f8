"""A merchant moves in: an old handler that nobody changes goes through the four stages of docs/moving.md, with a kill at each."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.moving import LegacyHandler, Provider, post
from tests.system import ROOT, SOURCES, Subscribers, System, a_body, a_system, eventually

pytestmark = pytest.mark.faults

EVERYTHING = ("web", "worker", "clock", "redis")
LONG_AGO = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())


class Move:
    """A relay, the old handler and a provider, and the steps that the merchant takes."""

    def __init__(self, system: System, handler: LegacyHandler) -> None:
        self.system = system
        self.handler = handler
        self.live_from = datetime.now(UTC)
        self.provider = Provider(handler)

    def relay(self, body: bytes) -> tuple[int, bytes]:
        return post(self.system.port, "/callbacks/crossing", body)

    def trial(self, body: bytes) -> tuple[int, bytes]:
        return post(self.system.port, "/callbacks/trial", body)

    def mirror(self, body: bytes) -> tuple[int, bytes]:
        """What nginx does: the handler answers, and a copy goes to us, whose answer nobody waits for."""
        threading.Thread(target=self.relay, args=(body,), daemon=True).start()
        return self.handler(body)

    def configured(self, *lines: str, trial: bool = False) -> str:
        """The sources of a stage."""
        common = f'namespace = "crossing"\nlive_from = "{self.live_from.isoformat()}"\n'
        text = SOURCES + common + "".join(f"{line}\n" for line in lines)
        return text + (SOURCES.replace("[sources.crossing]", "[sources.trial]") + common if trial else "")

    def kill(self) -> None:
        """Pull the plug."""
        for name in EVERYTHING:
            self.system.kill(name)

    def start(self, sources: str) -> None:
        """Start everything with these sources."""
        self.system.environment["RELAY_SOURCES"] = sources
        self.system.start("redis", "web", "worker", "clock")

    def import_credits(self, *, killed_after_s: float | None = None) -> None:
        """Tell the relay what the handler has credited so far, by its own export and our command."""
        path = self.handler.exported(self.system.directory / "credited.csv")
        command = [sys.executable, "-m", "relay", "orders", "import", str(path), "--source", "crossing"]
        importing = subprocess.Popen(command, cwd=ROOT, env=self.system.environment, stdout=subprocess.DEVNULL)
        try:
            assert importing.wait(killed_after_s or 60) == 0
        except subprocess.TimeoutExpired:
            assert killed_after_s
            importing.kill()
            importing.wait()

    def orders(self) -> dict[str, dict[str, Any]]:
        return {order["orderid"]: order for order in self._all("/v1/orders?limit=250")}

    def events(self) -> dict[str, datetime]:
        """When each order was announced as credited; the list must name none twice."""
        found = self._all("/v1/events?type=recharge.succeeded&limit=250")
        told = {one["data"]["orderid"]: datetime.fromisoformat(one["timestamp"]) for one in found}
        assert len(told) == len(found)
        return told

    def _all(self, path: str) -> list[dict[str, Any]]:
        found, after = [], ""
        while True:
            page = self.system.api("GET", path + after)
            found += page["data"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"


@pytest.fixture
def move(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Move, Subscribers]]:
    """The handler as it ran for years, and beside it a relay that only observes."""
    handler = LegacyHandler(tmp_path)
    handler.start()
    with a_system(postgres_url, tmp_path, RELAY_SOURCES=SOURCES + 'mode = "observe"\n') as (system, subscribers):
        move = Move(system, handler)
        try:
            yield move, subscribers
        finally:
            move.provider._stopped.set()
            handler.kill()


def test_an_unchanged_handler_moves_in_and_nothing_is_lost_or_doubled(move: tuple[Move, Subscribers]) -> None:
    """Observe by a mirror, then in the way; import; one order, then every fifth; then all: killed each time, under traffic."""
    moving, subscribers = move
    provider, handler = moving.provider, moving.handler
    observing = 'mode = "observe"'
    in_the_way = f'upstream_handler = "http://127.0.0.1:{handler.port}/pay"'
    provider.grow(20)

    provider.panel = moving.mirror
    moving.kill()
    provider.grow(5)
    moving.start(moving.configured(observing))
    provider.grow(20)
    eventually(lambda: len(moving.orders()) > 15, within_s=20, what="the mirror is seen")

    moving.kill()
    moving.start(moving.configured(observing, in_the_way))
    provider.panel = moving.relay
    provider.grow(20)
    handler.kill()
    time.sleep(0.5)
    moving.system.kill("web")
    moving.system.start("web")
    handler.start()
    provider.grow(20)
    assert moving.events() == {}

    moving.import_credits(killed_after_s=0.8)
    moving.import_credits()
    known = moving.orders()
    assert {known[orderid]["state"] for orderid in provider.acked & set(known)} == {"succeeded"}

    moving.kill()
    moving.start(moving.configured(observing, in_the_way, trial=True))
    url = f"http://127.0.0.1:{handler.port}/pay"
    moving.system.api("POST", "/v1/endpoints", {"url": url, "format": "provider"})
    provider.own = moving.trial
    first = provider.pay(own=True)
    eventually(lambda: first in handler.credits(), within_s=20, what="the first order came through us")
    assert set(moving.events()) == {first}
    provider.share = 5
    provider.grow(20)
    moving.kill()
    moving.start(moving.configured(observing, in_the_way, trial=True))
    provider.grow(30)

    moving.kill()
    moving.import_credits()
    moving.start(moving.configured(trial=True))
    provider.grow(30)
    moving.kill()
    moving.start(moving.configured(trial=True))
    provider.grow(30)
    provider.stop()

    said_again(moving)
    judge(moving, subscribers)


def said_again(moving: Move) -> None:
    """The provider sends all of it once more by hand, with new times, and what was paid long ago as it was."""
    now = int(time.time())
    for number, orderid in enumerate(moving.provider.paid):
        amount = str(10_000 + int(orderid.removeprefix("sh-")))
        body = moving.provider.paid[orderid] if number % 2 else a_body(orderid, amount=amount, at=now)
        assert moving.relay(body) == (200, b"success")
    for number in range(5):
        assert moving.relay(a_body(f"old-{number}", at=LONG_AGO)) == (200, b"success")


def judge(moving: Move, subscribers: Subscribers) -> None:
    """By the handler's own records, and by those of a service that is new."""
    provider, handler, events = moving.provider, moving.handler, moving.events()
    eventually(lambda: set(events) <= set(subscribers.orders_of("wallet")), within_s=90, what="all told")
    eventually(
        lambda: set(provider.paid) <= set(handler.credits()),
        within_s=90,
        what=f"every paid order is credited: {sorted(set(provider.paid) - set(handler.credits()))}",
    )
    credited = handler.credits()
    assert set(credited) == set(provider.paid)
    assert all(one.amount == 10_000 + int(one.orderid.removeprefix("sh-")) for one in credited.values())
    # Whoever tells of a credit that the handler had given already, gives it again to every service that is new.
    twice = [orderid for orderid, at in events.items() if credited[orderid].at < at.timestamp()]
    assert twice == []
    assert {orderid: len(ways) for orderid, ways in subscribers.orders_of("wallet").items()} == dict.fromkeys(events, 1)
    assert provider.told_own <= set(events)
    assert len(provider.told_own) > 5
    assert len(events) > len(provider.told_own) + 30
    assert not any(orderid.startswith("old-") for orderid in events)
    assert {order["state"] for order in moving.orders().values()} == {"succeeded"}
