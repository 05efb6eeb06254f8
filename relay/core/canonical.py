"""Own the spellings of JSON that some providers sign in place of the bytes they send, each by its name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal

from relay.core.json_text import Number, read_members

_EXPONENT = re.compile(r"e([+-])0*(?=\d)")
# PHP escapes these two still where it leaves all others alone: that takes a flag of its own (JSON_UNESCAPED_LINE_TERMINATORS).
_PHP_LINE_ENDS = {"\u2028": "\\u2028", "\u2029": "\\u2029"}


def sorted_json(body: bytes, without: str) -> bytes:
    """Spell a body as Node does after sorting the members of every object (NOWPayments' samples but one)."""
    return _js(_sorted(_members(body, without)))


def listed_json(body: bytes, without: str) -> bytes:
    """Spell a body as `JSON.stringify(body, Object.keys(body).sort())` does (NOWPayments' Node sample).

    The list of the outermost names filters the inner objects too, which
    leaves most of them empty.
    """
    members = _members(body, without)
    return _js(_listed(members, members.keys()))


def php_json_base64(body: bytes, without: str) -> bytes:
    r"""Spell a body as PHP's json_encode does with JSON_UNESCAPED_UNICODE, `/` as `\/`, then in base64 (Cryptomus)."""
    return base64.b64encode(write(_members(body, without), str, _php_text).encode("utf-8", "surrogatepass"))


SPELLINGS: Mapping[str, Callable[[bytes, str], bytes]] = {
    "sorted-json": sorted_json,
    "listed-json": listed_json,
    "php-json-base64": php_json_base64,
}


def go_number(token: str) -> str:
    """Spell a JSON number as Go's FormatFloat(x, 'f', -1, 64): `100.0` is `100` (the epusdt family)."""
    # A double on purpose: Go holds the number as one when it signs, and what that loses is missing in the signature too.
    value = float(token)
    return token if abs(value) == float("inf") else format(Decimal(repr(value)).normalize(), "f")


def js_number(token: str) -> str:
    """Spell a JSON number as JavaScript does: plain from 1e-6 to 1e21, else with an exponent without leading zeros."""
    value = float(token)
    if value == 0 or abs(value) == float("inf"):
        return "0" if value == 0 else "null"
    if 1e-6 <= abs(value) < 1e21:  # ECMAScript, Number::toString
        return go_number(token)
    return _EXPONENT.sub(r"e\1", repr(value))


def _js_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def write(value: object, number: Callable[[str], str] = str, text: Callable[[str], str] = _js_text) -> str:
    """Write a JSON value without spaces; `number` and `text` spell the leaves."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{text(name)}:{write(inner, number, text)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(inner, number, text) for inner in value) + "]"
    if isinstance(value, Number):
        return number(value)
    return text(value) if isinstance(value, str) else json.dumps(value)


def _members(body: bytes, without: str) -> dict[str, object]:
    members = read_members(body)
    members.pop(without, None)
    return members


def _js(value: object) -> bytes:
    return write(value, js_number).encode("utf-8", "surrogatepass")


def _php_text(text: str) -> str:
    written = _js_text(text).replace("/", "\\/")
    return re.sub("[\u2028\u2029]", lambda found: _PHP_LINE_ENDS[found[0]], written)


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value, key=_utf16)}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


def _listed(value: object, names: AbstractSet[str]) -> object:
    if isinstance(value, dict):
        # The smaller of the two is gone through: thousands of names for each of thousands of objects would take seconds.
        return {name: _listed(value[name], names) for name in sorted(value.keys() & names, key=_utf16)}
    return [_listed(inner, names) for inner in value] if isinstance(value, list) else value


def _utf16(name: str) -> bytes:
    """JavaScript sorts by UTF-16 units."""
    return name.encode("utf-16-be", "surrogatepass")
