"""Own the probe by which we ask ourselves, from outside, what arrives at a callback URL; it is signed, bound to its URL, and soon stale."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

HEADER = "Relay-Probe"
VALID_S = 60


def sign_probe(key: bytes, source: str, *, at: int) -> str:
    """Return the header's value for a source's URL; `at` is in unix seconds."""
    return f"{at}.{_digest(key, source, str(at))}"


def is_probe(keys: Sequence[bytes], source: str, value: str, *, now: int) -> bool:
    """Tell whether a value was signed by one of our keys, for this source, a minute ago at most."""
    at, _, digest = value.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) < 12 and abs(now - int(at)) <= VALID_S):
        return False
    given = digest.encode("utf-8", "surrogateescape")
    return any(hmac.compare_digest(_digest(key, source, at).encode(), given) for key in keys)


def _digest(key: bytes, source: str, at: str) -> str:
    return hmac.digest(key, f"{source}\n{at}".encode("utf-8", "surrogateescape"), "sha256").hex()
