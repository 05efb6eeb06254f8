"""Own the strict reading of JSON: no member twice, no NaN, no depth that hurts, and numbers as the text that was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from relay.errors import CallbackRejected

MAX_DEPTH = 32
# Python's decoder stops at its recursion limit, but a library may have raised that (py_ecc, which web3 loads, does), and then
# a deep text ends the process. So deep texts must not reach the decoder.
_DECODABLE = 200
# A text that nobody closes is one too, to its end: else it would be sought again from each quote in it, half a minute for 64 KiB.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


class Number(str):
    """A JSON number as its text: it is what providers sign, and a float would change it."""

    __slots__ = ()


def reader(number: Callable[[str], str]) -> Callable[[str], object]:
    """Return a function that reads a JSON text, each number turned into what `number` makes of its text.

    What it returns raises CallbackRejected for anything else than strict JSON.
    """
    decode = json.JSONDecoder(
        object_pairs_hook=_without_duplicates, parse_float=number, parse_int=number, parse_constant=_refuse_constant
    ).decode

    def read(text: str) -> object:
        if is_too_deep(text):
            raise CallbackRejected("the body is nested too deep")
        try:
            return decode(text)
        except (ValueError, RecursionError):
            raise CallbackRejected("the body is not JSON") from None

    return read


def is_too_deep(text: str) -> bool:
    """Tell whether a JSON text has more levels than can safely be decoded."""
    if text.count("[") + text.count("{") <= _DECODABLE:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > _DECODABLE:
            return True
    return False


def read_members(body: bytes) -> dict[str, object]:
    """Return the members of a JSON object with its numbers as Number; CallbackRejected for anything else."""
    try:
        members = _read(body.decode())
    except UnicodeDecodeError:
        raise CallbackRejected("the body is not UTF-8") from None
    if not isinstance(members, dict):
        raise CallbackRejected("the body is not a JSON object")
    _check_depth(members)
    return members


def shown(name: str) -> str:
    """Spell a name that a stranger sent, for a reason that is stored and shown."""
    return ascii(name[:64])


def _check_depth(value: object) -> None:
    """Level by level, not by recursion: what comes here may be as deep as the decoder allows."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise CallbackRejected(f"the body is nested more than {MAX_DEPTH} deep")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise CallbackRejected(f"{shown(name)} is there twice", code="duplicate_field")
        members[name] = value
    return members


def _refuse_constant(_: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


_read = reader(Number)
