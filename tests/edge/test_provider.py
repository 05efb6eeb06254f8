"""The way to a provider, on real sockets: what came back, and whether anything can have left."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from relay.core.calls import Outgoing
from relay.edge.exchange import ANSWER_CAP
from relay.edge.provider import HTTPProvider
from relay.ports import Reply
from tests.edge.listening import answering, listening
from tests.system import free_port


def post(url: str, body: bytes = b"a=1") -> Outgoing:
    return Outgoing(method="POST", url=url, headers={"Content-Type": "text/plain", "X-Key": "k"}, body=body)


def test_an_answer_comes_back_whole() -> None:
    """Status and bytes; what was sent bears its headers and its length."""
    heard: list[bytes] = []
    with listening(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard)) as url:
        assert HTTPProvider().exchange(post(f"{url}/p?x=1"), deadline_s=5) == Reply(status=200, body=b"ok")
    head = heard[0].decode()
    assert head.startswith("POST /p?x=1 HTTP/1.1\r\n")
    assert "X-Key: k" in head
    assert "Content-Length: 3" in head


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n", Reply(status=302)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Reply(status=None, error="protocol")),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (ANSWER_CAP + 1), Reply(status=None, error="too_large")),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * ANSWER_CAP, Reply(status=200, body=b"x" * ANSWER_CAP)),
        (b"nonsense\r\n\r\n", Reply(status=None, error="protocol")),
        (b"", Reply(status=None, error="protocol")),
    ],
    ids=["redirect", "cut short", "too large", "as large as may be", "nonsense", "nothing"],
)
def test_what_was_sent_may_have_arrived(answer: bytes, reply: Reply) -> None:
    """However odd the answer, the request had left; a redirect is not followed."""
    with listening(answering(answer)) as url:
        assert HTTPProvider().exchange(post(url), deadline_s=5) == reply


@pytest.mark.parametrize("drip", [b"", b"H"], ids=["silence", "a byte at a time"])
def test_the_deadline_spans_the_whole_exchange(drip: bytes) -> None:
    """An answer that drips would keep a thread for hours by a timeout for each read."""

    def talk(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(drip)
            time.sleep(0.05)

    with listening(talk) as url:
        started = time.monotonic()
        assert HTTPProvider().exchange(post(url), deadline_s=0.3) == Reply(status=None, error="timeout")
        assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"], ids=["in its head", "in a body without an end"]
)
def test_no_thread_stays_with_an_answer_that_drips(head: bytes) -> None:
    """Each question to such a provider would leave one behind, for hours."""
    came, left = threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        came.set()
        while not left.wait(0.02):
            connection.sendall(b"H")

    before = set(threading.enumerate())
    with listening(talk) as url:
        assert HTTPProvider().exchange(post(url), deadline_s=0.5) == Reply(status=None, error="timeout")
        assert came.is_set()
        mine = [one for one in set(threading.enumerate()) - before if one.name == "exchange"]
        for one in mine:
            one.join(10)
        assert [one for one in mine if one.is_alive()] == []
        left.set()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"http://127.0.0.1:{free_port()}", "refused"),
        ("https://nowhere.invalid/", "dns"),
        ("https://" + "x" * 70 + ".example/", "dns"),
        ("http://api.example/", "not_encrypted"),
    ],
    ids=["nobody listens", "no such name", "no possible name", "in the clear"],
)
def test_what_never_left_says_so(url: str, error: str) -> None:
    """Then asking again is safe. Nothing is sent in the clear off this machine."""
    assert HTTPProvider().exchange(post(url), deadline_s=10) == Reply(status=None, error=error, left=False)


def test_a_server_that_does_not_speak_tls_gets_nothing() -> None:
    """The handshake fails before a byte of the request."""
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(talk) as url:
        reply = HTTPProvider().exchange(post(url.replace("http", "https")), deadline_s=5)
    assert (reply.error, reply.left) == ("tls", False)
    assert b"a=1" not in b"".join(heard)


def test_who_left_while_it_connected_is_not_sent_for() -> None:
    """A handshake that ends after the deadline must not send what was called unsent."""
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        time.sleep(1)

    with listening(talk) as url:
        reply = HTTPProvider().exchange(post(url.replace("http", "https")), deadline_s=0.2)
    assert reply == Reply(status=None, error="timeout", left=False)


def trusted() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and the trust in it."""
    authority = trustme.CA()
    server, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trust)
    return server, trust


def over_tls(server: ssl.SSLContext, answer: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as wrapped:
            answering(answer)(wrapped)

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_certificates_are_checked() -> None:
    """Only whom we trust is sent to."""
    server, trust = trusted()
    with listening(over_tls(server, OK)) as url:
        https = url.replace("http", "https")
        assert HTTPProvider(tls=trust).exchange(post(https), deadline_s=5) == Reply(status=200, body=b"ok")
        assert HTTPProvider().exchange(post(https), deadline_s=5) == Reply(status=None, error="tls", left=False)


def test_old_tls_is_not_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS 1.2 or later, though the system trusts the server, and it would be had with more."""
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "roots.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    with listening(over_tls(server, OK)) as url:
        https = url.replace("http", "https")
        assert HTTPProvider().exchange(post(https), deadline_s=5) == Reply(status=200, body=b"ok")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            server.minimum_version, server.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        server.set_ciphers("ALL:@SECLEVEL=0")
        assert HTTPProvider().exchange(post(https), deadline_s=5) == Reply(status=None, error="tls", left=False)


def test_a_proxy_is_tunnelled_through() -> None:
    """It is told where to, with its own credentials, and sees nothing of the request."""
    heard: list[bytes] = []
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with listening(answering(refusal, heard)) as url:
        proxy = url.replace("http://", "http://user:p%40ss@")
        reply = HTTPProvider(proxy_url=proxy).exchange(post("https://api.example/secret"), deadline_s=5)
    assert reply == Reply(status=None, error="refused", left=False)
    head = heard[0].decode()
    assert head.startswith("CONNECT api.example:443 ")
    assert base64.b64encode(b"user:p@ss").decode() in head
    assert "secret" not in head
    assert "X-Key" not in head
