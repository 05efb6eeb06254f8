"""Own the way to a provider: one request within a deadline, and whether it can have arrived when no answer came."""

from __future__ import annotations

import base64
import functools
import socket
import ssl
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from relay import __version__
from relay.core.calls import Outgoing
from relay.ports import Reply

ANSWER_CAP = 64 * 1024
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class HTTPProvider:
    """Fills ports.Provider. Nothing is kept between two calls: they are a second apart at least.

    `proxy_url` names an HTTP proxy that a TLS connection is tunnelled
    through, for providers that let fixed addresses in only; proxies of the
    environment are ignored. `tls` replaces the system's trust.
    """

    def __init__(self, *, proxy_url: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._proxy = urlsplit(proxy_url) if proxy_url else None
        self._given_tls = tls

    def exchange(self, request: Outgoing, *, deadline_s: float) -> Reply:
        """Send a request once; every failure is a Reply, never an exception. Redirects are answers, not followed."""
        target = urlsplit(request.url)
        if target.scheme != "https" and target.hostname not in LOOPBACK:
            return Reply(status=None, error="not_encrypted", left=False)
        work = _Exchange(self._connection(target, deadline_s), request, target)
        # Its own thread, since neither a look-up of a name nor an answer that drips can be ended from within.
        thread = threading.Thread(target=work.run, name="provider", daemon=True)
        thread.start()
        thread.join(deadline_s)
        return work.end()

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        # Made when it is needed first: most processes never call a provider, and the roots take a while to read.
        return self._given_tls or _tls_context()

    def _connection(self, target: SplitResult, deadline_s: float) -> HTTPConnection:
        host, port = target.hostname or "", target.port
        if target.scheme == "http":
            return HTTPConnection(host, port, timeout=deadline_s)
        if self._proxy is None or host in LOOPBACK:
            return HTTPSConnection(host, port, timeout=deadline_s, context=self._tls)
        through = HTTPSConnection(
            self._proxy.hostname or "", self._proxy.port or 80, timeout=deadline_s, context=self._tls
        )
        through.set_tunnel(host, port or 443, _credentials(self._proxy))
        return through


class _Exchange:
    """One request on its way. Whoever waits for it may leave; then it is not sent any more, if it was not yet."""

    def __init__(self, connection: HTTPConnection, request: Outgoing, target: SplitResult) -> None:
        self._connection = connection
        self._request = request
        self._path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        self._lock = threading.Lock()
        self._left = False
        self._reply: Reply | None = None

    def run(self) -> None:
        """Connect, send, read; leave what came of it."""
        try:
            self._connection.connect()
        except (OSError, HTTPException, UnicodeError) as error:
            self._settle(Reply(status=None, error=_connect_word(error), left=False))
            return
        finally:
            # Else sending would connect again by itself, and past the proxy's tunnel.
            self._connection.auto_open = 0
        with self._lock:
            if self._reply is not None:
                self._connection.close()
                return
            self._left = True
        try:
            self._settle(self._talk())
        except (OSError, HTTPException, ValueError) as error:
            self._settle(Reply(status=None, error="timeout" if isinstance(error, TimeoutError) else "protocol"))
        finally:
            self._connection.close()

    def end(self) -> Reply:
        """Return what came of it; when nothing did yet, nothing will."""
        with self._lock:
            if self._reply is None:
                self._reply = Reply(status=None, error="timeout", left=self._left)
            reply = self._reply
        opened = self._connection.sock
        if reply.error == "timeout" and opened is not None:
            _cut(opened)
        return reply

    def _settle(self, reply: Reply) -> None:
        with self._lock:
            self._reply = self._reply or reply

    def _talk(self) -> Reply:
        headers = {
            "User-Agent": f"Recharge-Relay/{__version__}",
            "Accept": "application/json",
            "Connection": "close",
            **self._request.headers,
        }
        # A POST bears its length even when it is empty.
        body = self._request.body if self._request.method == "POST" else None
        self._connection.request(self._request.method, self._path, body, headers)
        answer = self._connection.getresponse()
        read = answer.read(ANSWER_CAP + 1)
        if len(read) > ANSWER_CAP:
            return Reply(status=None, error="too_large")
        if answer.length:
            return Reply(status=None, error="protocol")
        return Reply(status=answer.status, body=read)


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _connect_word(error: Exception) -> str:
    """Name what stopped a connection; the order matters, since all of these are OSErrors."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return "dns"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "tls" if isinstance(error, ssl.SSLError) else "refused"


def _cut(opened: socket.socket) -> None:
    """Wake a thread that still reads; closing alone would not."""
    try:
        opened.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
