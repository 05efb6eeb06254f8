"""Own the shapes of a callback: bytes or a query in, the fields by the provider's names out, all as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from relay.core.canonical import go_number
from relay.core.json_text import reader, shown
from relay.errors import CallbackRejected

MAX_FIELDS = 50
CONTENT_TYPES = {
    "form": "application/x-www-form-urlencoded",
    "json": "application/json",
    "nested": "application/json",
    "query": "",
}
BODIES = tuple(CONTENT_TYPES)
NUMBERS = ("raw", "go")
# A path into nested JSON: names with dots between, a number for an element of a list, or `list[flag]` for the element whose member
# `flag` is true.
PATH = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\[[A-Za-z0-9_-]{1,64}\])?", re.ASCII)

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_JSON: Mapping[str, Callable[[str], object]] = {"raw": reader(str), "go": reader(go_number)}


def read_form(body: bytes) -> dict[str, str]:
    """Read a form strictly: frameworks keep the first or the last of two equal names, and guess at the rest."""
    text = _decoded(body)
    if ";" in text or "\0" in text:
        raise CallbackRejected("; and NUL do not belong into a form")
    # A body may be nothing but separators: it is cut no further than it is told to have too many.
    pairs = text.split("&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise CallbackRejected(f"more than {MAX_FIELDS} fields")
    escaped = "%" in text or "+" in text
    fields: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if escaped:
            name, value = _unescape(name), _unescape(value)
        if not name or not equals or "[" in name or "]" in name:
            raise CallbackRejected("the body is not a flat form of name=value")
        if name in fields:
            raise CallbackRejected(f"{shown(name)} is there twice", code="duplicate_field")
        fields[name] = value
    return fields


def read_flat(body: bytes, numbers: str = "raw") -> dict[str, str]:
    """Read a JSON object of texts, numbers, truth values and nulls."""
    members = _read_object(body, numbers)
    if len(members) > MAX_FIELDS:
        raise CallbackRejected(f"more than {MAX_FIELDS} fields")
    return {name: _text(name, value) for name, value in members.items()}


def read_nested(body: bytes, paths: Iterable[str]) -> dict[str, str]:
    """Read from a JSON object of any shape what stands at these paths; a path that leads nowhere is left out."""
    members = _read_object(body, "raw")
    found = ((path, _at(members, path)) for path in paths)
    return {path: _text(path, value) for path, value in found if value is not _NOWHERE}


def steps(path: str) -> tuple[tuple[str, str], ...]:
    """Return a path's steps: the member's name, and the flag of the list's element or ""."""
    return _steps(path)


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[tuple[str, str], ...]:
    parts = (step.rstrip("]").partition("[") for step in path.split("."))
    return tuple((name, flag) for name, _, flag in parts)


_NOWHERE = object()


def _at(value: object, path: str) -> object:
    for name, flag in steps(path):
        if isinstance(value, list) and name.isdigit() and int(name[:4]) < len(value):
            value = value[int(name[:4])]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return _NOWHERE
        if flag:
            value = _flagged(value, path, flag)
    return value


def _flagged(value: object, path: str, flag: str) -> object:
    """Find the one element of a list that bears the flag; two would be two answers to one question."""
    elements = value if isinstance(value, list) else []
    found = [element for element in elements if isinstance(element, dict) and element.get(flag) is True]
    if len(found) > 1:
        raise CallbackRejected(f"{path} has two answers", code="duplicate_field")
    return found[0] if found else _NOWHERE


def _read_object(body: bytes, numbers: str) -> dict[str, object]:
    members = _JSON[numbers](_decoded(body))
    if not isinstance(members, dict):
        raise CallbackRejected("the body is not a JSON object")
    return members


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise CallbackRejected("the body is not UTF-8") from None


def _unescape(text: str) -> str:
    if _BROKEN_ESCAPE.search(text) or "%00" in text:
        raise CallbackRejected("the form has a broken or forbidden % escape")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise CallbackRejected("the form is not UTF-8") from None


def _text(name: str, value: object) -> str:
    """Write a JSON value as providers do when they sign; null is empty."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        raise CallbackRejected(f"{shown(name)} is nested")
    if "\0" in value:
        raise CallbackRejected(f"{shown(name)} contains NUL")
    return value
