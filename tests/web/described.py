"""What the document says of the API's operations, read for the tests that try them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.settings import load
from relay.bootstrap import build
from relay.web import create_app
from tests.schema import resolve
from tests.web.conftest import ENVIRONMENT

DOCUMENT = create_app(build(load(ENVIRONMENT))).test_client().get("/openapi.json").get_json()
METHODS = ("get", "post", "put", "patch", "delete")
# A value of each type that JSON has; a field is given those that are not of its own.
VALUES = {
    "string": "x",
    "integer": 7,
    "number": 1.5,
    "boolean": True,
    "array": ["x"],
    "object": {"x": "x"},
    "null": None,
}
NO_TIMES = (
    "yesterday",
    "2026-11-23",
    "2026-11-23T12:00:00",
    "1795435200",
    "2026-13-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
)


def operations(*, having: str = "", body: bool = False) -> list[Any]:
    """Those under /v1 with parameters there, or with a body that is JSON."""
    return [
        pytest.param(method, path, operation, id=f"{method} {path}")
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/") and method in METHODS
        if (not having or parameters(operation, having)) and (not body or "requestBody" in operation)
    ]


def parameters(operation: Any, where: str) -> dict[str, Any]:
    found = [resolve(one, DOCUMENT) for one in operation.get("parameters", [])]
    return {one["name"]: one["schema"] for one in found if one["in"] == where}


def filled(path: str) -> str:
    """The path with a name for what is still open; a number fits every place."""
    while "{" in path:
        head, _, rest = path.partition("{")
        path = f"{head}1{rest.partition('}')[2]}"
    return path


def choices(schema: Any) -> list[Any]:
    schema = resolve(schema, DOCUMENT)
    several = schema.get("anyOf") or schema.get("allOf")
    return [choice for one in several for choice in choices(one)] if several else [schema]


def types_of(schema: Any) -> set[str]:
    return {one["type"] for one in choices(schema)}


def fields(schema: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for choice in choices(schema):
        for name, inner in choice.get("properties", {}).items():
            yield (*above, name), inner
            yield from fields(inner, (*above, name))


def nested(steps: tuple[str, ...], value: Any) -> Any:
    return {steps[0]: nested(steps[1:], value)} if steps else value


def wrong_values(schema: Any) -> Iterator[Any]:
    """What a field of a body must not hold."""
    types = types_of(schema)
    yield from (
        value for name, value in VALUES.items() if name not in types and (name, types) != ("integer", {"number"})
    )
    for one in choices(schema):
        if one["type"] == "integer":
            yield from (one.get("minimum", 0) - 1, one.get("maximum", 2**63 - 1) + 1)
        if one["type"] == "string":
            yield from ("a\0b", "\ud800", "x" * (one.get("maxLength", 10_000) + 1))
            yield from NO_TIMES if one.get("format") == "date-time" else ()
            yield from ("no such", "") if "enum" in one else ()
        if one["type"] == "array":
            yield from ([7], [["x"]], ["a\0b"], ["x" * 501])
            yield ["x"] * (one["maxItems"] + 1)


def wrong_texts(schema: Any) -> Iterator[str]:
    """What a parameter of a query must not be."""
    for one in choices(schema):
        if one["type"] == "integer":
            yield from ("many", "", "1.5", "7.0", "1_0", " 7", "+7", "\N{ARABIC-INDIC DIGIT SEVEN}", "-1", "9" * 30)
        elif one["type"] == "boolean":
            yield from ("maybe", "yes", "", "TRUE", "2")
        elif one["type"] == "string":
            yield from ("a\0b", "x" * 10_001)
            yield from NO_TIMES if one.get("format") == "date-time" else ()
            yield from ("no such", "") if "enum" in one else ()
