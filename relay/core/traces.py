"""Own what a signature looks like from outside: which texts of a request could be one, and of which digest."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relay.core.json_text import read_members
from relay.core.parsing import RawRequest
from relay.errors import CallbackRejected

# By the number of bytes.
DIGESTS: Mapping[int, tuple[str, ...]] = {
    16: ("md5",),
    20: ("sha1", "hmac-sha1"),
    32: ("sha256", "hmac-sha256"),
    64: ("hmac-sha512",),
}
_HEX = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+)", re.ASCII)
_LABEL = re.compile(r"([A-Za-z0-9]{1,16}=)(?=[0-9A-Fa-f]{32})")
_LIKELY = re.compile(r"(sig)|(mac|digest|token)", re.IGNORECASE)
_TIME = re.compile(r"[0-9]{10}(?:[0-9]{3})?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trace:
    """A text that could be a signature: where it stands, and which digests have its length."""

    name: str
    location: str
    value: str
    label: str
    encoding: str
    digests: tuple[str, ...]


def traces(request: RawRequest, given: Mapping[str, str]) -> Iterator[Trace]:
    """Yield what could be the signature, the likely names first; transaction hashes look the same."""
    body = [(name, "body", value) for name, value in (given or _outermost(request)).items()]
    headers = [(name, "header", value) for name, value in request.headers.items()]
    places = [*body, *headers]
    for name, location, value in sorted(places, key=lambda place: _unlikeliness(place[0])):
        label = found[1] if (found := _LABEL.match(value)) else ""
        encoding, size = _kind(value.removeprefix(label))
        if size in DIGESTS:
            yield Trace(name, location, value, label, encoding, DIGESTS[size])


def timestamps(request: RawRequest) -> Iterator[str]:
    """Yield the headers that bear a time."""
    return (name for name, value in request.headers.items() if _TIME.fullmatch(value))


def described(trace: Trace) -> str:
    """Say in a few words what a trace is."""
    kind = {"hex-lower": "hex digits in lower case", "hex-upper": "hex digits in upper case", "base64": "base64"}
    return f"{trace.name} ({trace.location}): {kind[trace.encoding]}, as long as {' or '.join(trace.digests)}"


def _unlikeliness(name: str) -> int:
    found = _LIKELY.search(name)
    return found.lastindex or 3 if found else 3


def _outermost(request: RawRequest) -> dict[str, str]:
    """The texts of a nested JSON body that stand in no inner object."""
    try:
        return {name: value for name, value in read_members(request.body).items() if isinstance(value, str)}
    except CallbackRejected:
        return {}


def _kind(value: str) -> tuple[str, int]:
    if _HEX.fullmatch(value) and len(value) % 2 == 0:
        return ("hex-lower" if value == value.lower() else "hex-upper"), len(value) // 2
    try:
        return "base64", len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return "", 0
