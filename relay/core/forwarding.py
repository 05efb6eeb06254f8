"""Own what an old handler is handed: the provider's own bytes, and the address of whoever sent them."""

from __future__ import annotations

from dataclasses import replace

from relay.core.calls import Outgoing
from relay.core.parsing import RawRequest
from relay.core.rendering import ack_ok
from relay.core.sources import Source

# What belongs to one connection (RFC 9110, 7.6.1), what is written anew for the next, and what a caller may claim of where
# it comes from: an old handler that trusts its proxy would believe the claim.
_NOT_HANDED_ON = frozenset(
    {
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        *("proxy-authorization", "proxy-connection", "host", "content-length", "content-type", "accept-encoding"),
        *("forwarded", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "cf-connecting-ip"),
    }
)


def forwarded(source: Source, raw: RawRequest, *, method: str, address: str) -> Outgoing:
    """Return the request as the old handler gets it; `address` is the caller's, "" when it is not known."""
    url = source.upstream_handler
    headers = {name: value for name, value in raw.headers.items() if _is_handed_on(name.lower())}
    ours = {"X-Forwarded-For": address, "X-Real-IP": address, "Content-Type": raw.content_type}
    return Outgoing(
        method=method,
        url=f"{url}{'&' if '?' in url else '?'}{raw.query}" if raw.query else url,
        headers=headers | {name: value for name, value in ours.items() if value},
        body=raw.body,
    )


def _is_handed_on(name: str) -> bool:
    return name not in _NOT_HANDED_ON and not name.startswith("x-forwarded-")


def acknowledges(source: Source, status: int, body: bytes) -> bool:
    """Tell whether the handler's answer is what the provider takes for "received"."""
    return ack_ok(replace(source.adapter, ack=source.ack), status, body)
