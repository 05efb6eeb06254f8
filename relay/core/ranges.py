"""Own the arithmetic of coverage: which blocks were read without a hole, and how many are asked for at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# Two numbers in brackets, hexadecimal or decimal: how nodes suggest a range that they would answer.
_SUGGESTED = re.compile(r"\[\s*(0x[0-9a-f]+|\d+)\s*,\s*(0x[0-9a-f]+|\d+)\s*\]", re.IGNORECASE | re.ASCII)
_LIMITS = (
    "block range",
    "range is too",
    "range too",
    "query returned more than",
    "too many results",
    "limit exceeded",
    "response size",
    "query timeout",
    "max results",
    "too large",
    "blocks range",
    "ranges over",
    "too many blocks",
    "-32005",
)
# Who asks too often is answered like who asks too much, by the same code at that; asking for less would not help.
_PACES = ("rate limit", "request rate", "too many requests", "requests per second", "daily request", "capacity")


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Blocks `first` to `last`, both included, all of them read; `last_hash` says of which branch."""

    first: int
    last: int
    last_hash: str = ""


def covered_to(ranges: Iterable[Range], start: int) -> int:
    """Return the last block of what is covered from `start` on without a hole; `start - 1` for nothing."""
    end = start - 1
    for one in sorted(ranges):
        if one.first > end + 1:
            break
        end = max(end, one.last)
    return end


def gaps(ranges: Iterable[Range], start: int, end: int) -> list[tuple[int, int]]:
    """Return the holes between two blocks, both included."""
    found, at = [], start
    for one in sorted(ranges):
        if one.first > at:
            found.append((at, min(one.first - 1, end)))
        at = max(at, one.last + 1)
        if at > end:
            break
    return [*found, (at, end)] if at <= end else found


def pieces(first: int, last: int, span: int) -> Iterator[tuple[int, int]]:
    """Cut a range into pieces of at most `span` blocks, the lowest first."""
    for at in range(first, last + 1, span):
        yield at, min(at + span - 1, last)


def grown(span: int, *, found: int, bearable: int, most: int) -> int:
    """Return the span after an answer with `found` logs: fourfold when there were none, doubled while four times as many would be borne."""
    factor = 4 if not found else 2 if found * 4 <= bearable else 1
    return min(most, span * factor)


def shrunk(span: int, message: str, *, first: int) -> int:
    """Return the span after a refusal: what the node suggests from `first` on, or else half; at least one block."""
    suggested = _SUGGESTED.search(message)
    if suggested is not None:
        # Python itself reads no decimal number that begins with a zero.
        low, high = (int(number, 16 if number[:2] in ("0x", "0X") else 10) for number in suggested.groups())
        if low == first and low <= high < first + span - 1:
            return high - low + 1
    return max(1, span // 2)


def is_limit(code: int, message: str) -> bool:
    """Tell whether an error of a node means that it was asked for too much at once."""
    told = message.lower()
    if any(word in told for word in _PACES):
        return False
    return code == -32005 or any(word in told for word in _LIMITS)
