"""Own the way out: one request to one endpoint, over a socket whose address was judged, within a deadline."""

from __future__ import annotations

import asyncio
import email.utils
import functools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from relay import __version__
from relay.core.addresses import Network, may_connect, may_dial
from relay.ports import Answer

log = logging.getLogger(__name__)

# Below the five seconds after which common servers drop an idle connection: a POST must not meet one just dropped.
KEEP_ALIVE_S = 4.0
NAMES_TTL_S = 10
RETRY_AFTER_CAP_S = 86_400
# An answer may take this many times its cap on the wire, with head and framing.
WIRE_FACTOR = 2
# What the kernel may hold of an answer, and so what one turn of the loop may have to parse.
RECEIVE_BUFFER = 16_384
_READ_SIZE = 16_384

# Takes a name and returns its addresses as literals; blocks; raises OSError.
Lookup = Callable[[str], Sequence[str]]


def addresses_of(name: str) -> Sequence[str]:
    """Ask the system's resolver; blocks, raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(sockaddr[0]) for _, _, _, _, sockaddr in found]


def tls_context() -> ssl.SSLContext:
    """Verify certificate and name against the system's roots, TLS 1.2 or later."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def parse_retry_after(raw: str | None, now: datetime) -> int | None:
    """Read Retry-After as seconds from now, 0 to 86,400; None when absent or unreadable (RFC 9110, 10.2.3)."""
    if raw is None or len(raw) > 64:
        return None
    raw = raw.strip()
    if raw.isascii() and raw.isdigit():
        return min(int(raw), RETRY_AFTER_CAP_S)
    try:
        at = email.utils.parsedate_to_datetime(raw)
        seconds = int((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
    except (ValueError, OverflowError):
        return None
    return max(0, min(seconds, RETRY_AFTER_CAP_S))


class AiohttpOutbound:
    """Fills ports.Outbound; an async context manager that belongs to one event loop.

    `allow` are the networks where endpoints may live besides the open
    internet. `deadline_s` spans the whole exchange with the body of the
    answer, `connect_s` name, TCP and TLS. Of an answer at most `answer_cap`
    bytes are read, rounded up to one read, and `kept_body` bytes kept.
    `tls` and `lookup` replace the system's trust and resolver.
    """

    def __init__(
        self,
        allow: Sequence[Network],
        *,
        deadline_s: float = 15.0,
        connect_s: float = 5.0,
        answer_cap: int = 65_536,
        kept_body: int = 1_024,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = addresses_of,
    ) -> None:
        self._allow = allow
        self._deadline_s = deadline_s
        # The library rounds what is longer than its threshold up to a whole second. The deadline over all is kept in _ask.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, ceil_threshold=connect_s)
        self._answer_cap = answer_cap
        self._kept_body = kept_body
        self._tls = tls
        self._lookup = lookup
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        tls = self._tls or tls_context()
        self._sessions = {
            "https": self._session(tls, encrypted=True),
            "http": self._session(tls, encrypted=False),
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    async def post(self, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        """Post `body`; every failure is an Answer whose `error` is a stable word. Only cancellation passes through."""
        return await self._ask("POST", url, headers, body)

    async def get(self, url: str) -> Answer:
        """Get, as `post` posts."""
        return await self._ask("GET", url, {}, b"")

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline_s):
                status, retry_after, kept = await self._exchange(method, url, headers, body)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return Answer(status=None, error=_word(error), latency_ms=_since(started))
        except Exception as error:  # noqa: BLE001  # a surprise must end one attempt, not the deliverer
            log.warning("exchange_surprised", extra={"kind": type(error).__name__})
            return Answer(status=None, error="protocol", latency_ms=_since(started))
        return Answer(
            status=status,
            error=None,
            latency_ms=_since(started),
            retry_after_s=None if retry_after is None else parse_retry_after(retry_after, datetime.now(UTC)),
            body=kept.decode(errors="replace").replace("\0", ""),
        )

    def _session(self, tls: ssl.SSLContext, *, encrypted: bool) -> aiohttp.ClientSession:
        """One session for each scheme, because what may be dialled depends on it and a socket does not know its URL."""
        connector = _Connector(
            WIRE_FACTOR * self._answer_cap,
            ssl=tls,
            resolver=_JudgingResolver(self._lookup, self._allow),
            ttl_dns_cache=NAMES_TTL_S,
            socket_factory=lambda info: _open(info, encrypted=encrypted, allow=self._allow),
            keepalive_timeout=KEEP_ALIVE_S,
            # Open exchanges are bounded by the outbox; a bound here would let endpoints that hang keep others waiting.
            limit=0,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers={"User-Agent": f"Recharge-Relay/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            # None is asked for, and a peer may compress its answer all the same: 200 MB fit into 200 KB.
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_SIZE,
        )

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str | None, bytes]:
        session = self._sessions.get(url.partition(":")[0].lower())
        if session is None:
            raise BlockedAddress(url)
        response = await session.request(method, url, headers=headers, data=body or None, allow_redirects=False)
        try:
            kept = await self._read(response)
        finally:
            # After a whole answer its connection is back in the pool already.
            if not response.closed:
                response.close()
        return response.status, response.headers.get("Retry-After"), kept

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        kept = bytearray()
        total = 0
        while total < self._answer_cap:
            chunk = await response.content.readany()
            if not chunk:
                break
            total += len(chunk)
            kept += chunk[: self._kept_body - len(kept)]
        return bytes(kept)


class BlockedAddress(OSError):
    """An address where no endpoint may live. An OSError, since that is what vendors' connect code passes on."""


class _Connector(aiohttp.TCPConnector):
    """Makes connections that bound what a peer may send, and that end abruptly."""

    def __init__(self, wire_cap: int, **settings: Any) -> None:
        super().__init__(**settings)
        bounded = functools.partial(_BoundedHandler, self._loop, wire_cap)
        self._factory = bounded  # type: ignore[assignment]  # partial is invariant in what it makes


class _BoundedHandler(ResponseHandler):
    """Ends an exchange whose answer exceeds `wire_cap` bytes as they come, framing and interim answers included.

    Without it a peer keeps our parser busy for a whole deadline with one-byte chunks or a flood of 100 Continue.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wire_cap: int) -> None:
        super().__init__(loop)
        self._wire_cap = wire_cap
        self._received = 0

    def set_response_params(self, **params: Any) -> None:
        """Begin an exchange; a kept connection has several."""
        self._received = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Hand on what is within the bound."""
        # Judged before it is added, so that the reader of a long body has reached its own cap first.
        if self._received <= self._wire_cap:
            self._received += len(data)
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Cut off: a polite TLS farewell would wait for the peer, and go on receiving, for half a minute."""
        self.abort()


class _JudgingResolver(AbstractResolver):
    """Resolves a name once and refuses it when any of its addresses is forbidden; the connector caches and pins the answer."""

    def __init__(self, lookup: Lookup, allow: Sequence[Network]) -> None:
        self._lookup = lookup
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = list(dict.fromkeys(await _in_thread(self._lookup, host)))
        # One is enough: when the first address does not answer, the connector tries the next.
        if not all(may_connect(address, self._allow) for address in found):
            raise BlockedAddress(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        """Hold nothing."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=flags)


async def _in_thread(lookup: Lookup, name: str) -> Sequence[str]:
    """Look up in a daemon thread of its own.

    The loop's pool has few threads and joins them at exit: dead name servers
    of a few endpoints would hold up all others, and the end of the process.
    The connector looks up a name once at a time, which bounds the threads.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def look() -> None:
        try:
            found, error = lookup(name), None
        except (OSError, UnicodeError) as caught:  # an over-long label is a UnicodeError
            found, error = [], caught
        try:
            loop.call_soon_threadsafe(_settle, answer, found, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    threading.Thread(target=look, name="lookup", daemon=True).start()
    return await answer


def _settle(answer: asyncio.Future[Sequence[str]], found: Sequence[str], error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(found)
    else:
        answer.set_exception(socket.gaierror(socket.EAI_FAIL, str(error)))


def _open(info: aiohttp.AddrInfoType, *, encrypted: bool, allow: Sequence[Network]) -> socket.socket:
    """Judge the very address that is about to be dialled: literals, odd spellings and rebound names all pass here."""
    family, kind, protocol, _, sockaddr = info
    address, port = str(sockaddr[0]), int(sockaddr[1])
    if not may_dial(address, port, encrypted=encrypted, allow=allow):
        raise BlockedAddress(address)
    opened = socket.socket(family, kind, protocol)
    # Set before connecting, since it bounds the window that is offered.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return opened


def _word(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connect_word(error)
    if isinstance(error, BlockedAddress | aiohttp.InvalidURL):
        return "blocked_address"
    return "timeout" if isinstance(error, TimeoutError) else "protocol"


def _connect_word(error: aiohttp.ClientConnectorError) -> str:
    """Translate by cause; the order matters, since all of these are OSErrors."""
    cause = error.os_error
    if isinstance(cause, BlockedAddress):
        return "blocked_address"
    if isinstance(cause, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    # A peer that hangs up within the handshake arrives as a reset; a plain connection cannot be reset this early.
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError | ConnectionResetError):
        return "tls"
    return "refused"


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1_000)
