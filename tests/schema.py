"""Check values against JSON Schema (2020-12), as much of it as our documents use; an unknown word is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

IGNORED = {"title", "description", "default", "format", "discriminator", "$schema", "$id", "examples", "readOnly"}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a value one looks; `closed` objects to properties that no schema names."""

    root: Any
    at: str = ""
    closed: bool = False

    def within(self, name: object) -> Spot:
        return replace(self, at=f"{self.at}/{name}")


def faults(value: Any, schema: Any, spot: Spot) -> list[str]:
    """Every way in which a value differs from a schema."""
    found: list[str] = []
    for word, wanted in schema.items():
        if word == "format" and wanted == "date-time" and isinstance(value, str) and not _is_moment(value):
            found.append(f"{spot.at}: {value!r} is no time")
        elif word not in IGNORED:
            found += _RULES[word](value, wanted, schema, spot)
    return found


def resolve(schema: Any, root: Any) -> Any:
    """Follow a reference within the document."""
    while "$ref" in schema:
        found = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _type(value: Any, wanted: Any, schema: Any, spot: Spot) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    return [] if any(_is(value, name) for name in names) else [f"{spot.at}: {value!r} is no {wanted}"]


def _any(value: Any, wanted: Any, schema: Any, spot: Spot) -> list[str]:
    each = [faults(value, one, spot) for one in wanted]
    return [] if any(not one for one in each) else [f"{spot.at}: none fits: {each}"]


def _all(value: Any, wanted: Any, schema: Any, spot: Spot) -> list[str]:
    return [fault for one in wanted for fault in faults(value, one, spot)]


def _properties(value: Any, wanted: Any, schema: Any, spot: Spot) -> list[str]:
    if not isinstance(value, dict):
        return []
    found = [
        fault for name, one in wanted.items() if name in value for fault in faults(value[name], one, spot.within(name))
    ]
    strange = set(value) - set(wanted) if spot.closed and "additionalProperties" not in schema else set()
    return found + [f"{spot.at}/{name}: is not declared" for name in sorted(strange)]


def _additional(value: Any, wanted: Any, schema: Any, spot: Spot) -> list[str]:
    others = set(value) - set(schema.get("properties", {})) if isinstance(value, dict) else set()
    if wanted is False:
        return [f"{spot.at}/{name}: is not declared" for name in sorted(others)]
    if wanted is True:
        return []
    return [fault for name in others for fault in faults(value[name], wanted, spot.within(name))]


def _compared(holds: Any) -> Any:
    def rule(value: Any, wanted: Any, schema: Any, spot: Spot) -> list[str]:
        return [] if holds(value, wanted) else [f"{spot.at}: {value!r} against {wanted!r}"]

    return rule


_RULES: dict[str, Any] = {
    "type": _type,
    "anyOf": _any,
    "oneOf": _any,
    "allOf": _all,
    "properties": _properties,
    "additionalProperties": _additional,
    "$ref": lambda value, _, schema, spot: faults(value, resolve(schema, spot.root), spot),
    "items": lambda value, wanted, _, spot: [
        fault
        for place, one in enumerate(value if isinstance(value, list) else [])
        for fault in faults(one, wanted, spot.within(place))
    ],
    "required": _compared(lambda value, wanted: not isinstance(value, dict) or set(wanted) <= set(value)),
    "enum": _compared(lambda value, wanted: value in wanted),
    "const": _compared(lambda value, wanted: value == wanted),
    "pattern": _compared(lambda value, wanted: not isinstance(value, str) or re.search(wanted, value) is not None),
    "minimum": _compared(lambda value, wanted: not _is(value, "number") or value >= wanted),
    "maximum": _compared(lambda value, wanted: not _is(value, "number") or value <= wanted),
    "minLength": _compared(lambda value, wanted: not isinstance(value, str) or len(value) >= wanted),
    "maxLength": _compared(lambda value, wanted: not isinstance(value, str) or len(value) <= wanted),
    "maxItems": _compared(lambda value, wanted: not isinstance(value, list) or len(value) <= wanted),
    "uniqueItems": _compared(lambda value, _: not isinstance(value, list) or len(value) == len(set(map(str, value)))),
}
