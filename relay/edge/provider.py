"""Own the way to a provider: one request, encrypted, through the operator's proxy where there is one."""

from __future__ import annotations

import base64
import functools
import ssl
from dataclasses import replace
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from relay import __version__
from relay.core.calls import Outgoing
from relay.edge.exchange import exchange, tls_context
from relay.ports import Reply

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEADERS = {"User-Agent": f"Recharge-Relay/{__version__}", "Accept": "application/json"}


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
        signed = replace(request, headers={**HEADERS, **request.headers})
        return exchange(self._connection(target, deadline_s), signed, deadline_s=deadline_s)

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        # Made when it is needed first: most processes never call a provider, and the roots take a while to read.
        return self._given_tls or tls_context()

    def _connection(self, target: SplitResult, deadline_s: float) -> HTTPConnection:
        host, port = target.hostname or "", target.port
        if target.scheme == "http":
            return HTTPConnection(host, port, timeout=deadline_s)
        if self._proxy is None or host in LOOPBACK:
            return HTTPSConnection(host, port, timeout=deadline_s, context=self._tls)
        # The library speaks plainly to the proxy, and TLS with the provider alone, within the tunnel.
        through = HTTPSConnection(
            self._proxy.hostname or "", self._proxy.port or 80, timeout=deadline_s, context=self._tls
        )
        through.set_tunnel(host, port or 443, _credentials(self._proxy))
        return through


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
