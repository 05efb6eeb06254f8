"""A merchant moves from its provider's first protocol to the second: orders called back by both are credited once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.core.callbacks import Callback, Status
from relay.core.rendering import render
from tests.core.examples import ADDRESS, preset
from tests.system import SECRET, SOURCES, Subscribers, System, a_body, a_system, eventually

V1 = SOURCES + 'namespace = "shop"\n'
V2 = f"""
[sources.crossing-v2]
adapter = "crossingpay-v2"
namespace = "shop"
secrets = ["{SECRET}"]
evidence = ["signature"]
allow_ips = ["127.0.0.0/8"]
"""
ACKED = (200, b"success")
Running = tuple[System, Subscribers]


@pytest.fixture
def running(postgres_url: str, tmp_path: Path) -> Iterator[Running]:
    """A merchant of the first protocol."""
    with a_system(postgres_url, tmp_path, RELAY_SOURCES=V1) as both:
        yield both


def first(system: System, number: int, *, at: int = 0) -> tuple[int, bytes]:
    """Call back in the first protocol: 3 USDT for an order."""
    return system.call_back(a_body(f"sh-{number}", at=at))


def second(
    system: System, number: int, *, micros: int = 3_000_000, status: Status = Status.SUCCEEDED
) -> tuple[int, bytes]:
    """Call back in the second: the same order, with the provider's number and a transaction, and no user."""
    said = Callback(
        source="crossing-v2",
        namespace="shop",
        orderid=f"sh-{number}",
        status=status,
        amount_micros=micros,
        amount_raw="",
        unit_micros=1,
        provider_order_id=f"cz-{number}",
        tx_hash=f"{number:064x}",
    )
    adapter = preset("crossingpay-v2")
    body, content_type, _ = render(adapter, SECRET, said, datetime.now(UTC), address=ADDRESS)
    return system.request("POST", "/callbacks/crossing-v2", body, **{"content-type": content_type})


def restart(system: System, sources: str) -> None:
    """Deploy another configuration."""
    system.environment["RELAY_SOURCES"] = sources
    for name in ("web", "worker", "clock"):
        system.kill(name)
    system.start("web", "worker", "clock")


def both_at_once(system: System, number: int) -> None:
    """Race the protocols for one order."""
    answers: list[tuple[int, bytes]] = []
    calls = [
        threading.Thread(target=lambda call=call: answers.append(call(system, number))) for call in (first, second)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert answers == [ACKED, ACKED]


def credited(system: System) -> list[str]:
    """The orders that were announced, as often as they were."""
    found = system.api("GET", "/v1/events?type=recharge.succeeded&limit=250")["data"]
    return sorted(event["data"]["orderid"] for event in found)


def test_the_move_from_v1_to_v2_credits_every_order_once(running: Running) -> None:
    """V1 alone; both, in either order and at once; V2 alone, with V1's late and repeated callbacks still coming."""
    system, subscribers = running
    assert [first(system, number) for number in (1, 2)] == [ACKED] * 2

    restart(system, V1 + V2)
    for number in (1, 3):
        assert (first(system, number), second(system, number)) == (ACKED, ACKED)
    assert second(system, 4, status=Status.PENDING) == ACKED
    assert (second(system, 4), first(system, 4)) == (ACKED, ACKED)
    for number in range(5, 15):
        both_at_once(system, number)
    orders = sorted(f"sh-{number}" for number in range(1, 15))
    assert credited(system) == orders

    later = int(time.time()) + 300
    for number in (1, 4, 14):
        assert (first(system, number, at=later), second(system, number)) == (ACKED, ACKED)
    assert second(system, 20) == ACKED
    assert first(system, 20) == ACKED
    assert credited(system) == sorted([*orders, "sh-20"])
    assert {order["state"] for order in system.api("GET", "/v1/orders?limit=250")["data"]} == {"succeeded"}

    eventually(lambda: len(subscribers.orders_of("wallet")) == 15, within_s=90, what="all told")
    assert all(len(ways) == 1 for ways in subscribers.orders_of("wallet").values())


def test_the_protocols_share_an_order_and_contradict_each_other_openly(running: Running) -> None:
    """Either source finds it; V2 asks whether it is ours; another amount in the other protocol is held, not credited again."""
    system, _ = running
    restart(system, V1 + V2)
    made = {"source": "crossing", "orderid": "sh-1", "user_ref": "1", "amount": "3"}
    system.api("POST", "/v1/orders/import", made)
    asked = {
        orderid: system.request("GET", f"/callbacks/crossing-v2/verify-order?orderid={orderid}")
        for orderid in ("sh-1", "sh-2")
    }
    assert asked == {"sh-1": (200, b"yes"), "sh-2": (200, b"no")}
    assert (first(system, 1), second(system, 1, micros=3_100_000)) == (ACKED, ACKED)
    one, other = (system.api("GET", f"/v1/orders/{source}/sh-1") for source in ("crossing", "crossing-v2"))
    assert one == other
    assert (one["state"], one["held_reason"], one["credited_micros"]) == ("held", "conflict", 3_000_000)
    assert credited(system) == ["sh-1"]
