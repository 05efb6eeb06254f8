"""The whole way over real HTTP and real processes: a signed callback in, every subscriber told once."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system import APPID, Subscribers, System, a_body, a_system, eventually, signed

Running = tuple[System, Subscribers]
SUBSCRIBERS = ("wallet", "ledger", "billing")


@pytest.fixture(scope="module")
def running(lasting_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two web processes on Postgres, a worker, a clock, a Redis; each test has orders of its own."""
    with a_system(lasting_postgres_url, tmp_path_factory.mktemp("way")) as both:
        yield both


def test_fifty_equal_callbacks_at_once_are_fifty_acks_one_event_and_one_delivery_each(running: Running) -> None:
    """Through two web processes, from fifty threads."""
    system, subscribers = running
    body, answers = a_body("sh-race"), []
    threads = [threading.Thread(target=lambda: answers.append(system.call_back(body))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, b"success")] * 50
    eventually(
        lambda: all("sh-race" in subscribers.orders_of(name) for name in SUBSCRIBERS), within_s=30, what="all told"
    )
    assert len(system.api("GET", "/v1/events?type=recharge.succeeded&orderid=sh-race")["data"]) == 1
    assert len(system.api("GET", "/v1/deliveries?orderid=sh-race")["data"]) == 3
    told = [[body for _, body in subscribers.records[name] if b"sh-race" in body] for name in SUBSCRIBERS]
    assert [len(bodies) for bodies in told] == [1, 1, 1]


def test_every_answer_of_the_callback_route(running: Running) -> None:
    """Accepted, repeated, conflicting, forged, malformed, unknown, oversized: each as the contract says, and the rejected ones are kept."""
    system, _ = running
    before = {one["id"] for one in rejected(system)}
    accepted = a_body("27-order", user="1", at=1_700_000_000)
    assert system.call_back(accepted) == (200, b"success")
    assert system.call_back(a_body("27-order", user="1", at=1_700_000_999)) == (200, b"success")
    assert system.call_back(a_body("27-order", user="1", amount="31000", at=1_700_000_000)) == (200, b"success")
    refused = [
        system.call_back(accepted.replace(b"amount=30000", b"amount=90000")),
        system.call_back(accepted + b"&amount=30000"),
        system.call_back(
            signed({"orderid": "a", "amount": "1", "localusermark": "1", "appid": "other", "t": "1700000000"})
        ),
        system.call_back(
            signed({"orderid": "a", "amount": "1e3", "localusermark": "1", "appid": APPID, "t": "1700000000"})
        ),
        system.call_back(accepted, source="nobody"),
    ]
    assert refused == [
        (401, b"bad_signature"),
        (400, b"duplicate_field"),
        (401, b"wrong_appid"),
        (400, b"bad_field"),
        (404, b"unknown_source"),
    ]
    kept = [one for one in rejected(system) if one["id"] not in before]
    assert sorted(one["reason"].encode() for one in kept) == sorted(reason for _, reason in refused)
    order = system.api("GET", "/v1/orders/crossing/27-order")
    assert (order["state"], order["held_reason"]) == ("held", "conflict")


def rejected(system: System) -> list[dict[str, Any]]:
    """Every request that was refused."""
    kept: list[dict[str, Any]] = system.api("GET", "/v1/callbacks?verdict=rejected&limit=250")["data"]
    return kept


@pytest.mark.parametrize("chunk", [b"x" * 8192, b"x" * 200_000], ids=["many chunks", "one large chunk"])
def test_a_chunked_body_over_the_limit_is_413_and_not_a_cut_one(running: Running, chunk: bytes) -> None:
    """200,000 bytes without a Content-Length."""
    system, _ = running
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as connection:
        connection.sendall(
            b"POST /callbacks/crossing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        try:
            for _ in range(200_000 // len(chunk) + 1):
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # the server may close as soon as it has read one byte too many
        assert connection.recv(65536).split(b" ")[1] == b"413"


def test_a_chunked_body_within_the_limit_is_accepted(running: Running) -> None:
    """The encoding alone is no fault."""
    system, _ = running
    body = a_body("sh-chunked")
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as connection:
        connection.sendall(
            b"POST /callbacks/crossing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
        assert b"200" in connection.recv(65536).split(b"\r\n")[0]


def test_a_failing_subscriber_is_retried_under_the_same_id_and_bytes(running: Running) -> None:
    """A 503 first, then success: others are told at once, this one at the next step of the schedule."""
    system, subscribers = running
    fails = {"billing": 1}

    def answer(name: str) -> int:
        if fails.get(name):
            fails[name] -= 1
            return 503
        return 204

    subscribers.answer = answer  # once it has failed it is as before
    system.call_back(a_body("sh-retry"))
    eventually(lambda: "sh-retry" in subscribers.orders_of("wallet"), within_s=30, what="the healthy one is told")
    eventually(lambda: "sh-retry" in subscribers.orders_of("billing"), within_s=20, what="the failing one is told")
    assert subscribers.orders_of("billing")["sh-retry"] == subscribers.orders_of("wallet")["sh-retry"]


def test_logs_are_one_json_event_a_line_and_hold_no_secret(running: Running) -> None:
    """From the edge on, every line bears the request's id."""
    system, subscribers = running
    system.call_back(a_body("sh-log"))
    eventually(lambda: "sh-log" in subscribers.orders_of("wallet"), within_s=30, what="told")
    lines = [json.loads(line) for line in system.log("web").splitlines()]
    settled = [line for line in lines if line["event"] == "callback_settled" and line["orderid"] == "sh-log"]
    assert [line["verdict"] for line in settled] == ["accepted"]
    assert settled[0]["request_id"]
    for name in ("web", "worker", "clock"):
        for secret in (
            "relay-test-secret",
            "a-secret-key-of-the-test-system",
            subscribers.secrets["wallet"],
            "rly_admin_key",
        ):
            assert secret not in system.log(name)


def test_a_paused_source_is_acknowledged_and_nobody_is_told(running: Running) -> None:
    """Everything is held, through each web process; resumed, the next credit flows, and what was held waits for a person."""
    system, subscribers = running
    system.api("POST", "/v1/sources/crossing/pause")
    held = [f"sh-held-{number}" for number in range(6)]
    assert {system.call_back(a_body(orderid)) for orderid in held} == {(200, b"success")}
    assert {system.api("GET", f"/v1/orders/crossing/{orderid}")["state"] for orderid in held} == {"held"}
    system.api("POST", "/v1/sources/crossing/resume")
    assert system.call_back(a_body("sh-next")) == (200, b"success")
    eventually(lambda: all("sh-next" in subscribers.orders_of(name) for name in SUBSCRIBERS), within_s=30, what="told")
    assert not {order for name in SUBSCRIBERS for order in subscribers.orders_of(name)} & set(held)
