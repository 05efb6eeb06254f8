"""Own which headers a subscriber may have sent along with each delivery: those that we and the protocol have no use for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from relay.errors import Unprocessable

MOST = 20
LONGEST = 2_000
# RFC 9110, 5.6.2: a name is a token. Values are what every HTTP stack agrees on.
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)
# Where a message ends, how it is encoded, whom it is for, and what becomes of the connection: changed from outside,
# they would let one request pass for two.
_FRAMING = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What we say ourselves.
_OURS = frozenset({"accept-encoding", "content-type", "user-agent"})
_FAMILIES = ("webhook-", "proxy-")


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their names in lower case; Unprocessable, with the pointer, for one that may not be set."""
    if len(headers) > MOST:
        raise Unprocessable(f"at most {MOST}", pointer="/headers")
    checked: dict[str, str] = {}
    for given, value in headers.items():
        name = given.lower()
        fault = _fault(name, value) or ("is there twice" if name in checked else None)
        if fault:
            raise Unprocessable(fault, pointer=f"/headers/{given.replace('~', '~0').replace('/', '~1')}")
        checked[name] = value
    return checked


def _fault(name: str, value: str) -> str | None:
    if not _NAME.fullmatch(name):
        return "is no name of a header"
    if name in _FRAMING or name in _OURS or name.startswith(_FAMILIES):
        return "is set by us, or belongs to the connection"
    if len(value) > LONGEST or not _VALUE.fullmatch(value):
        return f"must be 1 to {LONGEST} characters of printable ASCII, without spaces around it"
    return None
