"""Own the pages that explain the API: all of it at /docs, made from the OpenAPI document, and each error at /problems/<code>."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response
from markupsafe import Markup, escape

from relay.errors import NotFound
from relay.web.auth import public
from relay.web.document import INTRODUCTION, Document, document
from relay.web.pages import page
from relay.web.problem_codes import CODES

routes = Blueprint("docs", __name__)

PUBLIC = public("the description of the API is no secret")


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a table: a parameter or a property. `shape` names the schema that its type links to."""

    name: str
    type: str
    shape: str | None
    needed: bool
    where: str
    says: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `answers` are (status, name of the shape)."""

    id: str
    method: str
    path: str
    title: str
    says: str
    roles: list[str]
    fields: list[Field]
    takes: Field | None
    answers: list[tuple[str, str]]


@routes.get("/docs")
@PUBLIC
def docs() -> Response:
    """Explain every operation, every shape and every error."""
    doc = document()
    return page(
        "docs.html",
        introduction=INTRODUCTION,
        parts=[(tag["name"], tag.get("description", ""), list(_operations(doc, tag["name"]))) for tag in doc["tags"]],
        shapes=_shapes(doc),
        codes=CODES,
    )


@routes.get("/problems/<code>")
@PUBLIC
def problem_page(code: str) -> Response:
    """Explain one error code."""
    if code not in CODES:
        raise NotFound("no error has this code")
    return page("problem_code.html", code=code, meaning=CODES[code])


@routes.app_template_filter()
def ticked(text: str) -> Markup:
    """Show the names that a description has between backticks as names."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  # it is escaped


def _operations(doc: Document, tag: str) -> Iterator[Operation]:
    for path, operations in doc["paths"].items():
        for method, one in operations.items():
            if tag in one["tags"]:
                yield _operation(doc, method, path, one)


def _operation(doc: Document, method: str, path: str, one: Document) -> Operation:
    body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return Operation(
        id=one["operationId"],
        method=method.upper(),
        path=path,
        title=one["summary"],
        says=one.get("description", ""),
        roles=one["x-roles"],
        fields=[_parameter(_resolved(doc, given)) for given in one.get("parameters", [])],
        takes=None if body is None else _field("", body, needed=True),
        answers=[
            (status, _name_of(_schema_of(answer)))
            for status, answer in sorted(one["responses"].items())
            if status.startswith("2")
        ],
    )


def _shapes(doc: Document) -> list[tuple[str, str, list[Field]]]:
    return [
        (
            name,
            schema.get("description", ""),
            [
                _field(field, given, needed=field in schema.get("required", []))
                for field, given in schema.get("properties", {}).items()
            ],
        )
        for name, schema in sorted(doc["components"]["schemas"].items())
    ]


def _parameter(given: Document) -> Field:
    return _field(
        given["name"],
        {"description": given.get("description", ""), **given["schema"]},
        needed=given["required"],
        where=given["in"],
    )


def _field(name: str, schema: Document, *, needed: bool, where: str = "body") -> Field:
    shape = _name_of(schema) or _name_of(schema.get("items", {})) or None
    return Field(name, _spelled(schema), shape, needed, where, _limits(schema))


def _spelled(schema: Document) -> str:
    """Say a type in words: `text or null`, `list of EndpointShape`, `"standard" or "provider"`."""
    if "$ref" in schema:
        return _name_of(schema)
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    for word in ("anyOf", "allOf", "oneOf"):
        if word in schema:
            return " or ".join(_spelled(choice) for choice in schema[word])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_spelled(schema.get('items', {}))}"
    if schema.get("format") == "date-time":
        return "time"
    return {"string": "text", "object": "map"}.get(kind, str(kind))


_LIMITS = {
    "minimum": "from {}",
    "maximum": "to {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
}


def _limits(schema: Document) -> str:
    flat = {**next((one for one in schema.get("anyOf", []) if one.get("type") != "null"), {}), **schema}
    found = [words.format(int(flat[name])) for name, words in _LIMITS.items() if name in flat]
    if flat.get("default") not in (None, "", {}):
        found.append(f"{json.dumps(flat['default'])} when left out")
    return ", ".join(filter(None, [flat.get("description", ""), *found]))


def _schema_of(answer: Document) -> Document:
    content: dict[str, Any] = answer.get("content", {})
    return next((one.get("schema", {}) for one in content.values()), {})


def _name_of(schema: Document) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _resolved(doc: Document, given: Document) -> Document:
    if "$ref" not in given:
        return given
    found: Any = doc
    for step in given["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)
