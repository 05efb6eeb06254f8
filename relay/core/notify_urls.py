"""Own which URL an order may name for its events: one that lies under the prefix of an endpoint made for that.

Prefixes and URLs are compared as texts, here and in the database, because
both are stored in one canonical form: what two readers could take for
different things (dot segments, escaped slashes, a default port) is refused or
written one way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from relay.core.addresses import Network, check_endpoint_url
from relay.errors import Unprocessable

_DEFAULT_PORTS = {"https": 443, "http": 80}
_ESCAPED_BORDER = re.compile(r"%(?:2f|5c|00)", re.IGNORECASE)


def check_prefix(url: str, *, allow: Sequence[Network], pointer: str = "/url") -> str:
    """Return a prefix in canonical form; Unprocessable where it is no URL we may call, or holds a query."""
    prefix = _canonical(url, allow, pointer)
    if "?" in prefix:
        raise Unprocessable("a prefix ends before the query", pointer=pointer)
    return prefix


def check_notify_url(url: str, prefixes: Iterable[str], *, allow: Sequence[Network]) -> str:
    """Return an order's URL in canonical form; Unprocessable where it lies under none of the prefixes."""
    wanted = _canonical(url, allow, "/notify_url")
    if not any(covers(prefix, wanted) for prefix in prefixes):
        raise Unprocessable(
            "matches the prefix of no enabled endpoint of kind per_order; create that endpoint first",
            pointer="/notify_url",
        )
    return wanted


def covers(prefix: str, url: str) -> bool:
    """Tell whether a URL lies under a prefix: the same, or longer from a `/` or `?` on. Both are canonical."""
    return url.startswith(prefix) and (prefix.endswith("/") or url[len(prefix) : len(prefix) + 1] in ("", "/", "?"))


def _canonical(url: str, allow: Sequence[Network], pointer: str) -> str:
    parts = urlsplit(check_endpoint_url(url, allow=allow, pointer=pointer))
    if _ESCAPED_BORDER.search(parts.path) or {".", ".."} & set(unquote(parts.path).split("/")):
        raise Unprocessable("the path holds a dot segment or an escaped slash", pointer=pointer)
    netloc = parts.netloc
    if parts.port is not None and parts.port == _DEFAULT_PORTS[parts.scheme]:
        netloc = netloc.rpartition(":")[0]
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
