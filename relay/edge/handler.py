"""Own the way to what an operator names (the handler that was there before us, a service at a laptop), in the clear only where that is allowed."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

from relay.core.addresses import Network, may_dial, networks
from relay.core.calls import Outgoing
from relay.edge.exchange import ANSWER_CAP, NotEncrypted, exchange, tls_context
from relay.ports import Reply

LOOPBACK = networks(["127.0.0.0/8", "::1"])


class HTTPHandler:
    """Fills ports.OldHandler.

    `allow` are the networks, beside this machine, that may be spoken to
    without TLS. `tls` replaces the system's trust; an answer of more than `answer_cap` bytes is none.
    """

    def __init__(
        self, allow: Sequence[Network], *, tls: ssl.SSLContext | None = None, answer_cap: int = ANSWER_CAP
    ) -> None:
        self._answer_cap = answer_cap
        self._allow = (*LOOPBACK, *allow)
        self._given_tls = tls

    def forward(self, request: Outgoing, *, deadline_s: float) -> Reply:
        """Forward a request once, headers and bytes as they are; redirects are answers, not followed."""
        target = urlsplit(request.url)
        host, port = target.hostname or "", target.port
        connection = (
            HTTPSConnection(host, port, timeout=deadline_s, context=self._tls)
            if target.scheme == "https"
            else _PlainConnection(host, port, timeout=deadline_s, allow=self._allow)
        )
        return exchange(connection, request, deadline_s=deadline_s, answer_cap=self._answer_cap)

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or tls_context()


class _PlainConnection(HTTPConnection):
    """Judges the address that was connected to, not the name, before a byte of the request leaves."""

    def __init__(self, host: str, port: int | None, *, timeout: float, allow: Sequence[Network]) -> None:
        super().__init__(host, port, timeout=timeout)
        self._allow = allow

    def connect(self) -> None:
        super().connect()
        address, port = self.sock.getpeername()[:2]
        if not may_dial(address, port, encrypted=False, allow=self._allow):
            self.close()
            raise NotEncrypted(address)
