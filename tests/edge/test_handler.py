"""The way to the old handler, on real sockets: in the clear only to where the operator allows."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace

import pytest
import trustme

from relay.core.addresses import networks
from relay.core.calls import Outgoing
from relay.edge.handler import HTTPHandler
from relay.ports import Reply
from tests.edge.listening import answering, listening
from tests.system import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 7\r\n\r\nsuccess"
TOLD = Reply(status=200, body=b"success", content_type="text/html; charset=utf-8")


def a_request(url: str) -> Outgoing:
    headers = {"x-signature": "ab", "user-agent": "provider/1", "X-Forwarded-For": "203.0.113.7"}
    return Outgoing(method="POST", url=url, headers=headers, body=b"a=1")


def test_the_request_arrives_as_it_was_and_the_answer_comes_back() -> None:
    """Nothing of ours is added but what the connection needs."""
    heard: list[bytes] = []
    with listening(answering(OK, heard)) as url:
        assert HTTPHandler(()).forward(a_request(f"{url}/pay/?r=1"), deadline_s=5) == TOLD
    head, _, body = heard[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert (lines[0], body) == ("POST /pay/?r=1 HTTP/1.1", b"a=1")
    assert {line.partition(":")[0].lower() for line in lines[1:]} == {
        *("host", "accept-encoding", "content-length", "connection"),
        *("x-signature", "user-agent", "x-forwarded-for"),
    }


def own_address() -> str:
    """An address of this machine that is not loopback, or a test that cannot be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        address: str = probe.getsockname()[0]
        return address


def test_only_allowed_networks_are_spoken_to_in_the_clear() -> None:
    """Judged by the address that was connected to; nothing of the request has left."""
    address, heard = own_address(), list[bytes]()
    with listening(answering(OK, heard), host=address) as url:
        blocked = HTTPHandler(()).forward(a_request(url), deadline_s=5)
        assert blocked == Reply(status=None, error="not_encrypted", left=False)
        assert heard == []
        assert HTTPHandler(networks([address])).forward(a_request(url), deadline_s=5) == TOLD


def test_certificates_are_checked() -> None:
    """Only the handler that is trusted is told."""
    authority, server, trust = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trust)

    def talk(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as wrapped:
            answering(OK)(wrapped)

    with listening(talk) as url:
        request = a_request(url.replace("http", "https"))
        assert HTTPHandler((), tls=trust).forward(request, deadline_s=5) == TOLD
        assert HTTPHandler(()).forward(request, deadline_s=5) == Reply(status=None, error="tls", left=False)


def silent(connection: socket.socket) -> None:
    """Read whatever comes until the other side leaves, and never answer."""
    while connection.recv(65_536):
        pass


def test_a_handler_that_is_not_there_is_a_reply() -> None:
    """And one that takes too long."""
    request = a_request(f"http://127.0.0.1:{free_port()}")
    assert HTTPHandler(()).forward(request, deadline_s=5) == Reply(status=None, error="refused", left=False)
    with listening(silent) as url:
        slow = HTTPHandler(()).forward(replace(request, url=url), deadline_s=0.2)
    assert slow == Reply(status=None, error="timeout")
