"""Own what the callback door answers to a probe of our own: what has arrived, and from whom; it is no callback and leaves nothing behind."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from relay import __version__
from relay.core.addresses import client_address
from relay.core.probes import is_probe

Environ = dict[str, Any]
Answer = tuple[int, bytes, str]
# As WSGI spells the header.
VARIABLE = "HTTP_RELAY_PROBE"


class Probes:
    """Answers probes that one of our keys has signed."""

    def __init__(self, keys: Sequence[bytes], hops: int) -> None:
        self._keys = keys
        self._hops = hops

    def answer(self, environ: Environ, source: str, *, is_known: bool) -> Answer:
        """Tell the client's address as a callback would be judged by, and the proxies that have named themselves; 401 to a stranger."""
        if not is_probe(self._keys, source, environ[VARIABLE], now=int(time.time())):
            return 401, b"bad_signature", "text/plain; charset=utf-8"
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        told = {
            "relay": __version__,
            "source": source if is_known else None,
            "client": client_address(environ.get("REMOTE_ADDR") or "", [forwarded] if forwarded else [], self._hops),
            "peer": environ.get("REMOTE_ADDR") or "",
            "proxies": len(forwarded.split(",")) if forwarded else 0,
            "hops": self._hops,
        }
        return 200, json.dumps(told).encode(), "application/json"
