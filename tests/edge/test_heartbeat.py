"""The heartbeat that a watcher outside hears: guarded as every way out, and harmless when it fails."""

from __future__ import annotations

import socket

import pytest

from relay.core.addresses import networks
from relay.edge.heartbeat import request_heartbeat
from tests.edge.listening import listening

LOOPBACK = networks(["127.0.0.0/8"])


@pytest.mark.parametrize(("status", "is_heard"), [("200 OK", True), ("302 Found", False), ("500 Error", False)])
def test_it_is_one_get(status: str, *, is_heard: bool) -> None:
    """Only an answer that says so is a success; redirects are not followed."""
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        head = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())

    with listening(talk) as url:
        assert request_heartbeat(f"{url}/ping/secret", LOOPBACK) is is_heard
    assert [one.split(b"\r\n")[0] for one in heard] == [b"GET /ping/secret HTTP/1.1"]


def test_where_it_cannot_go_it_only_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """An address that is not allowed, or nobody there: a line in the log, without the URL."""
    assert not request_heartbeat("http://127.0.0.1:9/ping/secret", ())
    assert not request_heartbeat("http://127.0.0.1:9/ping/secret", LOOPBACK)
    assert [record.__dict__["error"] for record in caplog.records] == ["blocked_address", "refused"]
    assert "secret" not in str([record.__dict__ for record in caplog.records])
