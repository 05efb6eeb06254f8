"""Own how files of things are read: JSON Lines or CSV, one at a time, whatever the size of the file.

A line that cannot be read is a line with a fault, not the end of the file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from relay.core.json_text import is_too_deep
from relay.errors import Unprocessable

# One line describes one order; what is longer is not one.
LONGEST = 64 * 1024
FORMATS = ("jsonl", "csv")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of a file, by the number of its line: texts by name without the empty ones, or what is wrong with it."""

    number: int
    fields: dict[str, str] = field(default_factory=dict)
    fault: str = ""


def read_lines(stream: IO[bytes], form: str, *, names: Sequence[str]) -> Iterator[Line]:
    """Yield the lines of a file of a form (FORMATS), empty ones left out.

    `names` are the columns that a CSV file may have. Raises Unprocessable, before the first line, for a header without sense.
    """
    return _csv_lines(stream, names) if form == "csv" else _json_lines(stream)


def read_object(number: int, text: str) -> Line:
    """Return what a JSON object says, member names and texts; null is left out."""
    if is_too_deep(text):
        return Line(number, fault="is nested")
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        return Line(number, fault=str(error) if isinstance(error, _Twice) else "is not JSON")
    if not isinstance(found, dict):
        return Line(number, fault="is not a JSON object")
    odd = next((name for name, value in found.items() if value is not None and not isinstance(value, str)), None)
    if odd is not None:
        return Line(number, fault=f"{odd[:64]!a} must be a text; write amounts as texts too")
    return _checked(number, {name: value for name, value in found.items() if value is not None})


class _Twice(ValueError):
    pass


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice("names a member twice")
    return members


def _checked(number: int, fields: dict[str, str]) -> Line:
    """What no database can hold is a fault of its line: NUL, and the halves of characters that JSON can spell."""
    for text in (*fields, *fields.values()):
        if "\0" in text or not _is_text(text):
            return Line(number, fault="holds NUL or what is not UTF-8")
    return Line(number, {name: text for name, text in fields.items() if text})


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_lines(stream: IO[bytes]) -> Iterator[Line]:
    for number, text in _numbered(stream):
        if text is None:
            yield _too_long(number)
        elif text.strip():
            yield read_object(number, text)


def _csv_lines(stream: IO[bytes], names: Sequence[str]) -> Iterator[Line]:
    """No cell spans lines: a quote that is never closed costs its own line, not those behind it."""
    numbered = _numbered(stream)
    header = _header(next(numbered, (1, ""))[1] or "", names)
    for number, text in numbered:
        if text is None:
            yield _too_long(number)
        elif text.strip():
            yield _csv_line(number, text, header)


def _csv_line(number: int, text: str, header: Sequence[str]) -> Line:
    try:
        cells = next(csv.reader((text,), strict=True))
    except csv.Error as error:
        return Line(number, fault=f"is not CSV: {error}")
    if len(cells) != len(header):
        return Line(number, fault=f"has {len(cells)} cells where the header has {len(header)}")
    return _checked(number, dict(zip(header, cells, strict=True)))


def _header(text: str, names: Sequence[str]) -> list[str]:
    try:
        header = [name.strip() for name in next(csv.reader((text,)), []) or [""]]
    except csv.Error as error:
        raise Unprocessable(f"the first line is not CSV: {error}; it must name columns of {', '.join(names)}") from None
    for place, name in enumerate(header):
        if name not in names or name in header[:place]:
            raise Unprocessable(
                f"the first line must name each column once, of {', '.join(names)}; it names {name[:64]!a}"
            )
    return header


def _too_long(number: int) -> Line:
    return Line(number, fault=f"is longer than {LONGEST} bytes")


def _numbered(stream: IO[bytes]) -> Iterator[tuple[int, str | None]]:
    return enumerate(_texts(stream), 1)


def _texts(stream: IO[bytes]) -> Iterator[str | None]:
    """Yield the lines of a file, None for one above LONGEST; what is not UTF-8 becomes half characters, which are refused later."""
    is_first = True
    while line := stream.readline(LONGEST):
        rest = line
        while len(rest) == LONGEST and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST)
        text = line.decode("utf-8", "surrogateescape")
        # Bytes are counted, not characters: the half of a line of large ones would pass for the whole.
        if rest is not line:
            yield None
        else:
            yield text.removeprefix("\ufeff") if is_first else text
        is_first = False
