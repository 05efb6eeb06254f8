"""The way out, over real sockets on loopback, against endpoints that are wrong in every way."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from relay import __version__
from relay.core.addresses import networks
from relay.edge.outbound import AiohttpOutbound, parse_retry_after, tls_context
from relay.ports import Answer

LOOPBACK = networks(["127.0.0.0/8"])
NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
NAME = "hooks.example"

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Endpoint:
    """A listening socket that counts what reaches it and hands each connection to `handle`."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.connections = 0
        self.open = 0
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                await self._handle(reader, writer)
        finally:
            self.open -= 1
            writer.transport.abort()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@asynccontextmanager
async def listening(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(handle)
    server = await asyncio.start_server(endpoint, "127.0.0.1", 0, ssl=tls)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    """Read one request and return its head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(length)


def answering(*parts: bytes, seen: list[bytes] | None = None) -> Handle:
    """Answer each request of a connection with the same bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got = await request(reader)
            if seen is not None:
                seen.append(got)
            for part in parts:
                writer.write(part)
            await writer.drain()

    return handle


def plain(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def post_to(handle: Handle, *, body: bytes = b"{}", deadline_s: float = 15.0) -> Answer:
    """Send one POST to an endpoint on loopback."""

    async def run() -> Answer:
        async with listening(handle) as endpoint, AiohttpOutbound(LOOPBACK, deadline_s=deadline_s) as outbound:
            return await outbound.post(endpoint.url, headers={}, body=body)

    return asyncio.run(run())


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


# The plain exchange


def test_an_answer_carries_status_first_bytes_and_time():
    """The whole of a small answer is kept."""
    answer = post_to(answering(plain("201 Created", b"thanks")))
    assert (answer.status, answer.error, answer.body, answer.retry_after_s) == (201, None, "thanks", None)
    assert 0 <= answer.latency_ms < 5_000


def test_a_request_carries_the_bytes_the_headers_and_our_name():
    """The body is sent as given; no compressed answer is asked for; headers of the caller pass."""
    seen: list[bytes] = []

    async def run() -> None:
        async with listening(answering(plain(), seen=seen)) as endpoint, AiohttpOutbound(LOOPBACK) as outbound:
            headers = {"webhook-id": "evt_1", "content-type": "application/json"}
            await outbound.post(endpoint.url + "%2F?a=%2B", headers=headers, body=b'{"a": "\x00\xff"}')

    asyncio.run(run())
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /hook%2f?a=%2b http/1.1"
    assert body == b'{"a": "\x00\xff"}'
    assert f"user-agent: recharge-relay/{__version__}".encode() in lines
    assert {b"accept-encoding: identity", b"webhook-id: evt_1", b"content-type: application/json"} <= set(lines)


def test_connections_are_kept_and_cookies_are_not():
    """A second POST goes over the same connection and brings no cookie along."""
    seen: list[bytes] = []

    async def run() -> int:
        handle = answering(plain("200 OK", b"ok", "Set-Cookie: a=b"), seen=seen)
        async with listening(handle) as endpoint, AiohttpOutbound(LOOPBACK) as outbound:
            for _ in range(3):
                assert (await outbound.post(endpoint.url, headers={}, body=b"{}")).status == 200
            return endpoint.connections

    assert asyncio.run(run()) == 1
    assert len(seen) == 3
    assert not any(b"cookie" in request.lower() for request in seen)


def test_a_slow_endpoint_holds_no_slot_of_another():
    """Nothing caps the number of connections: 300 that hang leave the next one alone."""

    async def run() -> Answer:
        async with (
            listening(hang) as slow,
            listening(answering(plain())) as quick,
            AiohttpOutbound(LOOPBACK) as outbound,
        ):
            hanging = [asyncio.create_task(outbound.post(slow.url, headers={}, body=b"{}")) for _ in range(300)]
            await until(lambda: slow.open == 300)
            answer = await outbound.post(quick.url, headers={}, body=b"{}")
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            return answer

    answer = asyncio.run(run())
    assert answer.status == 200
    assert answer.latency_ms < 1_000


def test_only_cancellation_passes_through_and_the_connection_is_cut():
    """A draining deliverer may give an exchange up."""

    async def run() -> None:
        async with listening(hang) as endpoint, AiohttpOutbound(LOOPBACK) as outbound:
            task = asyncio.create_task(outbound.post(endpoint.url, headers={}, body=b"{}"))
            await until(lambda: endpoint.open == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: endpoint.open == 0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"a" * 5_000, "a" * 1_024),
        (b"a\x00b", "ab"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("€".encode() * 400, "€" * 341 + "\ufffd"),
        (b"", ""),
    ],
)
def test_the_kept_text_fits_any_database(sent, kept):
    """One kibibyte, no NUL, and a mark for what is not UTF-8."""
    assert post_to(answering(plain(body=sent))).body == kept


@pytest.mark.parametrize("status", [204, 400, 410, 429, 500, 503])
def test_any_status_is_an_answer(status):
    """What it means is decided elsewhere; Retry-After is read on each."""
    head = f"HTTP/1.1 {status} X\r\nRetry-After: 120\r\n".encode()
    answer = post_to(answering(head + (b"\r\n" if status == 204 else b"Content-Length: 0\r\n\r\n")))
    assert (answer.status, answer.error, answer.retry_after_s) == (status, None, 120)


# Where it may go


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_a_status_and_is_not_followed(status):
    """Neither to the metadata service nor back to an address that is allowed."""

    async def run() -> tuple[Answer, Answer, int]:
        async with (
            listening(answering(plain())) as target,
            listening(answering(plain(status, b"", f"Location: {target.url}"))) as near,
            listening(answering(plain(status, b"", "Location: http://169.254.169.254/latest/"))) as far,
            AiohttpOutbound(LOOPBACK) as outbound,
        ):
            answers = [await outbound.post(endpoint.url, headers={}, body=b"{}") for endpoint in (near, far)]
            return answers[0], answers[1], target.connections

    near, far, followed = asyncio.run(run())
    assert near.status == far.status == int(status[:3])
    assert followed == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "HTTPS://127.0.0.1:{port}/",
        "https://127.0.0.1.:{port}/",
        "https://127.1:{port}/",
        "https://0x7f.1:{port}/",
        "https://0x7f000001:{port}/",
        "https://2130706433:{port}/",
        "https://017700000001:{port}/",
        "https://0177.0.0.1:{port}/",
        "https://localhost:{port}/",
        "https://LocalHost:{port}/",
        "https://user:secret@127.0.0.1:{port}/",
        "https://example.com@127.0.0.1:{port}/",
        "https://0.0.0.0:{port}/",
        "https://[::]:{port}/",
        "https://[::1]:{port}/",
        "https://[::127.0.0.1]:{port}/",
        "https://[::ffff:127.0.0.1]:{port}/",
        "https://[::ffff:7f00:1]:{port}/",
        "https://[64:ff9b::7f00:1]:{port}/",
        "https://[2002:7f00:1::]:{port}/",
        "https://[fec0::1]:{port}/",
        "https://[fe80::1%25lo]:{port}/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.100.100.200/",
        "https://10.0.0.1/",
        "http://8.8.8.8/",
        "https://8.8.8.8:6379/",
        "https://\uff11\uff12\uff17.0.0.1:{port}/",
        "ftp://127.0.0.1:{port}/",
        "unix:///var/run/docker.sock",
        "127.0.0.1:{port}",
        "",
    ],
)
def test_no_spelling_reaches_a_forbidden_address(url):
    """Judged at the socket, so it holds for URLs that no check has seen; nothing is connected."""

    async def run() -> tuple[Answer, int]:
        async with listening(answering(plain())) as endpoint, AiohttpOutbound(networks([])) as outbound:
            answer = await outbound.post(url.format(port=endpoint.port), headers={}, body=b"{}")
            return answer, endpoint.connections

    answer, connections = asyncio.run(run())
    assert (answer.status, answer.error, connections) == (None, "blocked_address", 0)


def test_a_name_is_resolved_once_and_its_address_is_pinned():
    """A resolver that turns to the metadata service after its first answer is not asked again, then is refused."""
    asked: list[str] = []

    def rebinding(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def run() -> list[Answer]:
        closing = answering(plain("200 OK", b"", "Connection: close"))
        async with listening(closing) as endpoint, AiohttpOutbound(LOOPBACK, lookup=rebinding) as outbound:
            url = f"http://{NAME}:{endpoint.port}/"
            answers = [await outbound.post(url, headers={}, body=b"{}") for _ in range(2)]
            assert (asked, endpoint.connections) == ([NAME], 2)
            connector = outbound._sessions["http"].connector
            assert isinstance(connector, aiohttp.TCPConnector)
            connector.clear_dns_cache()
            return [*answers, await outbound.post(url, headers={}, body=b"{}")]

    first, second, third = asyncio.run(run())
    assert (first.status, second.status) == (200, 200)
    assert third.error == "blocked_address"


@pytest.mark.parametrize("bad", ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%lo", "::1", "nonsense"])
@pytest.mark.parametrize("bad_first", [True, False])
def test_one_forbidden_answer_refuses_the_name(bad, bad_first):
    """Otherwise a second try would meet the other address."""
    found = [bad, "127.0.0.1"] if bad_first else ["127.0.0.1", bad]

    async def run() -> tuple[Answer, int]:
        async with (
            listening(answering(plain())) as endpoint,
            AiohttpOutbound(LOOPBACK, lookup=lambda _: found) as outbound,
        ):
            answer = await outbound.post(f"http://{NAME}:{endpoint.port}/", headers={}, body=b"{}")
            return answer, endpoint.connections

    answer, connections = asyncio.run(run())
    assert (answer.error, connections) == ("blocked_address", 0)


def test_plain_http_to_a_public_name_is_refused_at_the_socket():
    """A name passes the check of a URL when ranges are allowed; its address decides."""

    async def run() -> Answer:
        async with AiohttpOutbound(LOOPBACK, lookup=lambda _: ["8.8.8.8"]) as outbound:
            return await outbound.post(f"http://{NAME}/", headers={}, body=b"{}")

    assert asyncio.run(run()).error == "blocked_address"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_ignored(variable, monkeypatch):
    """A proxy would connect for us, past every check."""

    async def run() -> tuple[Answer, int]:
        async with listening(answering(plain("502 Proxy"))) as proxy, listening(answering(plain())) as endpoint:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
            async with AiohttpOutbound(LOOPBACK) as outbound:
                return await outbound.post(endpoint.url, headers={}, body=b"{}"), proxy.connections

    answer, proxied = asyncio.run(run())
    assert (answer.status, proxied) == (200, 0)


def test_unknown_names_and_closed_ports_have_their_words():
    """`dns` for a name without address, for one the resolver cannot even ask, and `refused` for nobody there."""

    def unknown(name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown name")

    async def run() -> list[str | None]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with AiohttpOutbound(LOOPBACK) as outbound, AiohttpOutbound(LOOPBACK, lookup=unknown) as lost:
            return [
                (await lost.post(f"https://{NAME}/", headers={}, body=b"{}")).error,
                (await outbound.post(f"https://{'a' * 64}.example/", headers={}, body=b"{}")).error,
                (await outbound.post(f"http://127.0.0.1:{port}/", headers={}, body=b"{}")).error,
            ]

    assert asyncio.run(run()) == ["dns", "dns", "refused"]


def test_a_dead_name_server_delays_neither_others_nor_the_end():
    """Forty lookups hang; another name is resolved at once, and nobody waits for the forty."""

    def lookup(name: str) -> list[str]:
        if name.startswith("dead"):
            time.sleep(30)
        return ["127.0.0.1"]

    async def run() -> tuple[Answer, list[Answer]]:
        async with (
            listening(answering(plain())) as endpoint,
            AiohttpOutbound(LOOPBACK, connect_s=0.5, lookup=lookup) as outbound,
        ):
            posts = [outbound.post(f"http://dead{n}.example/", headers={}, body=b"{}") for n in range(40)]
            dead = asyncio.gather(*posts)
            await asyncio.sleep(0)
            alive = await outbound.post(f"http://{NAME}:{endpoint.port}/", headers={}, body=b"{}")
            return alive, await dead

    started = time.monotonic()
    alive, dead = asyncio.run(run())
    assert (alive.status, alive.latency_ms < 400) == (200, True)
    assert {answer.error for answer in dead} == {"timeout"}
    assert time.monotonic() - started < 5


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving_as(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def post_tls(server: ssl.SSLContext, authority: trustme.CA, handle: Handle, *, host: str = NAME) -> tuple[Answer, int]:
    """Send one POST over TLS to `host`, which resolves to loopback; return the answer and the exchanges begun."""
    trust = tls_context()
    authority.configure_trust(trust)

    async def run() -> tuple[Answer, int]:
        async with (
            listening(handle, server) as endpoint,
            AiohttpOutbound(LOOPBACK, tls=trust, lookup=lambda _: ["127.0.0.1"]) as outbound,
        ):
            answer = await outbound.post(f"https://{host}:{endpoint.port}/", headers={}, body=b"{}")
            begun = endpoint.connections
            await until(lambda: endpoint.open == 0 or answer.error is None)
            return answer, begun

    return asyncio.run(run())


@pytest.mark.parametrize("host", [NAME, NAME + ".", NAME.upper()])
def test_tls_verifies_and_names_the_host_not_the_address(host, authority):
    """The connection goes to the judged address; SNI and certificate are those of the name."""
    asked: list[str | None] = []
    server = serving_as(authority.issue_cert(NAME))
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    answer, _ = post_tls(server, authority, answering(plain()), host=host)
    assert (answer.status, answer.error) == (200, None)
    assert asked == [NAME]


def test_a_literal_needs_a_certificate_for_that_address(authority):
    """An address in the URL is verified as an address."""
    good, _ = post_tls(serving_as(authority.issue_cert("127.0.0.1")), authority, answering(plain()), host="127.0.0.1")
    bad, _ = post_tls(serving_as(authority.issue_cert(NAME)), authority, answering(plain()), host="127.0.0.1")
    assert (good.status, bad.error) == (200, "tls")


def wrong_name(authority: trustme.CA) -> ssl.SSLContext:
    return serving_as(authority.issue_cert("other.example"))


def unknown_authority(authority: trustme.CA) -> ssl.SSLContext:
    return serving_as(trustme.CA().issue_cert(NAME))


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return serving_as(authority.issue_cert(NAME, not_after=datetime.now(UTC) - timedelta(days=1)))


def tls_1_1_only(authority: trustme.CA) -> ssl.SSLContext:
    context = serving_as(authority.issue_cert(NAME))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.parametrize("server", [wrong_name, unknown_authority, expired, tls_1_1_only])
def test_a_server_that_cannot_prove_itself_gets_no_request(server, authority):
    """Wrong name, unknown signer, expired, or a protocol below TLS 1.2."""
    answer, begun = post_tls(server(authority), authority, answering(plain()))
    assert (answer.status, answer.error, begun) == (None, "tls", 0)


def test_a_plain_server_behind_https_is_a_tls_failure(authority):
    """It speaks, but not TLS."""

    async def blurt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain())
        await reader.read()

    async def run() -> Answer:
        async with listening(blurt) as endpoint, AiohttpOutbound(LOOPBACK) as outbound:
            return await outbound.post(f"https://127.0.0.1:{endpoint.port}/", headers={}, body=b"{}")

    assert asyncio.run(run()).error == "tls"


def test_a_handshake_that_never_ends_ends_with_the_connect_deadline():
    """A silent server behind https costs `connect_s`, not the whole deadline."""

    async def run() -> Answer:
        async with listening(hang) as endpoint, AiohttpOutbound(LOOPBACK, connect_s=0.3) as outbound:
            answer = await outbound.post(f"https://127.0.0.1:{endpoint.port}/", headers={}, body=b"{}")
            await until(lambda: endpoint.open == 0)
            return answer

    answer = asyncio.run(run())
    assert answer.error == "timeout"
    assert answer.latency_ms < 2_000


# Endpoints that are hostile or broken


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read everything and never answer."""
    while await reader.read(65_536):
        pass


async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and let the request pile up; ends when the connection does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    await asyncio.sleep(1.0)  # the stream's own limit stops the reading after 128 KiB
    await hang(reader, writer)


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up."""


async def close_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request, then hang up."""
    await request(reader)


def repeating(head: bytes, chunk: bytes, pause_s: float = 0.0) -> Handle:
    """Send a head, then the same bytes for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handle


def once(sent: bytes) -> Handle:
    """Send some bytes and hang up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return handle


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

HOSTILE: dict[str, tuple[Handle, int | str]] = {
    "never answers": (hang, "timeout"),
    "never reads": (never_read, "timeout"),
    "drips its head": (repeating(b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.05), "timeout"),
    "drips its body": (repeating(ENDLESS, b"a", 0.05), "timeout"),
    "drips chunks": (repeating(CHUNKED, b"1\r\na\r\n", 0.05), "timeout"),
    "sends a body without end": (repeating(ENDLESS, b"a" * 65_536), 200),
    "sends chunks without end": (repeating(CHUNKED, b"400\r\n" + b"a" * 1_024 + b"\r\n"), 200),
    "sends tiny chunks without end": (repeating(CHUNKED, b"1\r\na\r\n" * 8_192), "protocol"),
    "sends a body without length or end": (repeating(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65_536), 200),
    "sends a chunk size without end": (repeating(CHUNKED, b"0" * 65_536), "protocol"),
    "sends a chunk extension without end": (repeating(CHUNKED + b"1;", b"a" * 65_536), "protocol"),
    "sends a trailer without end": (repeating(CHUNKED + b"0\r\nX: ", b"a" * 65_536), "protocol"),
    "sends a header without end": (repeating(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 65_536), "protocol"),
    "sends headers without end": (repeating(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n" * 8_192), "protocol"),
    "sends interim answers without end": (repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 64), "protocol"),
    "sends answers without end": (repeating(b"", plain(body=b"a") * 1_024), 200),
    "closes at once": (close_at_once, "protocol"),
    "closes after the request": (close_after_request, "protocol"),
    "closes within the head": (once(b"HTTP/1.1 200 OK\r\nContent-Le"), "protocol"),
    "closes within the body": (once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "protocol"),
    "closes within a chunk": (once(CHUNKED + b"5\r\nab"), "protocol"),
    "sends garbage": (once(b"\x00\x01\x02 this is no HTTP\r\n\r\n"), "protocol"),
    "sends a banner": (once(b"220 mail.example ESMTP\r\n"), "protocol"),
    "sends two lengths": (once(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "protocol"),
    "switches protocols": (once(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 101),
}


@pytest.fixture
def flat_memory() -> Iterator[None]:
    """Fail when more than 8 MiB were alive at any moment."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1_048_576


def assert_ends(answer: Answer, ending: int | str) -> None:
    # Where the machine is slow, the deadline comes before the bytes that break the protocol are read.
    allowed = {ending, "timeout"} if ending == "protocol" else {ending}
    assert allowed & {answer.status, answer.error}
    assert answer.latency_ms < 1_500


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.usefixtures("flat_memory")
def test_a_hostile_endpoint_costs_its_deadline_and_no_more(case):
    """Each exchange ends in time, in bounded memory, and its connection is gone."""
    handle, ending = HOSTILE[case]

    async def run() -> Answer:
        async with listening(handle) as endpoint, AiohttpOutbound(LOOPBACK, deadline_s=0.5) as outbound:
            answer = await outbound.post(endpoint.url, headers={}, body=b"x" * 1_000_000)
            await until(lambda: endpoint.open == 0)
            return answer

    assert_ends(asyncio.run(run()), ending)


@pytest.mark.parametrize(
    "case", ["never answers", "drips its body", "sends a body without end", "sends a header without end"]
)
@pytest.mark.usefixtures("flat_memory")
def test_a_hostile_endpoint_behind_tls_costs_no_more(case, authority):
    """A TLS farewell would wait for the peer for half a minute, and go on receiving."""
    handle, ending = HOSTILE[case]
    server = serving_as(authority.issue_cert(NAME))
    trust = tls_context()
    authority.configure_trust(trust)

    async def run() -> Answer:
        async with (
            listening(handle, server) as endpoint,
            AiohttpOutbound(LOOPBACK, deadline_s=0.5, tls=trust, lookup=lambda _: ["127.0.0.1"]) as outbound,
        ):
            answer = await outbound.post(f"https://{NAME}:{endpoint.port}/", headers={}, body=b"{}")
            await until(lambda: endpoint.open == 0)
            return answer

    assert_ends(asyncio.run(run()), ending)


@pytest.mark.parametrize("sent", [b"", ENDLESS + b"a" * 70_000], ids=["never answers", "never ends"])
def test_a_peer_that_ignores_our_farewell_is_cut_off(sent, authority):
    """A peer that never closes its side of TLS sees the connection end at once."""
    server = serving_as(authority.issue_cert(NAME))
    trust = tls_context()
    authority.configure_trust(trust)

    def ignore(listener: socket.socket) -> float:
        """Take a request, then read the bare socket to its end; return how long that took."""
        connection = server.wrap_socket(listener.accept()[0], server_side=True)
        connection.recv(65_536)
        connection.sendall(sent)
        with socket.socket(fileno=connection.detach()) as bare, suppress(ConnectionError):
            started = time.monotonic()
            bare.settimeout(5.0)
            while bare.recv(65_536):
                pass
        return time.monotonic() - started

    async def run() -> float:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = asyncio.create_task(asyncio.to_thread(ignore, listener))
            async with AiohttpOutbound(LOOPBACK, deadline_s=0.3, tls=trust, lookup=lambda _: ["127.0.0.1"]) as outbound:
                await outbound.post(f"https://{NAME}:{listener.getsockname()[1]}/", headers={}, body=b"{}")
                return await peer

    assert asyncio.run(run()) < 2.0


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """200 MB in 200 KB: gzip members one after the other are one gzip stream."""
    return gzip.compress(bytes(10_000_000)) * 20


@pytest.mark.usefixtures("bomb", "flat_memory")
def test_a_decompression_bomb_is_never_unpacked(bomb):
    """The answer stays as it came, and is read no further than the cap."""
    answer = post_to(answering(plain("200 OK", bomb, "Content-Encoding: gzip")))
    assert answer.status == 200
    assert len(answer.body) <= 1_024


def test_an_answer_within_the_cap_keeps_its_connection_and_a_longer_one_loses_it():
    """At most the cap is read, rounded up to one read."""

    async def connections(length: int) -> int:
        handle = answering(plain(body=b"a" * length))
        async with listening(handle) as endpoint, AiohttpOutbound(LOOPBACK, answer_cap=10_000) as outbound:
            for _ in range(2):
                assert (await outbound.post(endpoint.url, headers={}, body=b"{}")).status == 200
            return endpoint.connections

    assert asyncio.run(connections(9_999)) == 1
    assert asyncio.run(connections(1_000_000)) == 2


def test_a_kept_connection_has_a_fresh_bound_for_each_answer():
    """Forty answers of 9 KB pass where one may take 20 KB on the wire."""

    async def run() -> int:
        handle = answering(plain(body=b"a" * 9_000))
        async with listening(handle) as endpoint, AiohttpOutbound(LOOPBACK, answer_cap=10_000) as outbound:
            answers = [await outbound.post(endpoint.url, headers={}, body=b"{}") for _ in range(40)]
            assert {answer.status for answer in answers} == {200}
            return endpoint.connections

    assert asyncio.run(run()) == 1


def test_an_answer_before_the_end_of_the_request_is_taken():
    """A server that refuses a large body early is heard."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(plain("413 Too Large"))
        await writer.drain()
        await hang(reader, writer)

    assert post_to(early, body=b"x" * 1_000_000, deadline_s=2.0).status == 413


# Retry-After


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 120 ", 120),
        ("86401", 86_400),
        ("9" * 60, 86_400),
        ("9" * 65, None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("Mon, 23 Nov 2026 03:05:05 GMT", 60),
        ("Monday, 23-Nov-26 03:05:05 GMT", 60),
        ("Mon Nov 23 03:05:05 2026", 60),
        ("Mon, 23 Nov 2026 03:05:05 -0000", 60),
        ("Mon, 23 Nov 2026 04:05:05 +0100", 60),
        ("Sun, 22 Nov 2026 03:05:05 GMT", 0),
        ("Mon, 23 Nov 2099 03:05:05 GMT", 86_400),
        ("Mon, 99 Nov 2026 03:05:05 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(raw, seconds):
    """All three date forms of RFC 9110, clamped to a day, and nothing else."""
    assert parse_retry_after(raw, NOW) == seconds


@given(st.text(max_size=64) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} Nov \d{1,6} \d\d:\d\d:\d\d [+-]?\d{0,6}"))
def test_any_retry_after_is_read_or_ignored(raw):
    """An endpoint writes this header: it must not be able to raise."""
    seconds = parse_retry_after(raw, NOW)
    assert seconds is None or 0 <= seconds <= 86_400
