"""Own the description of the API: what the routes' declarations say, and what holds for all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast, get_type_hints

from flask import current_app
from flask_openapi3 import OpenAPI

from relay.web.auth import access_of
from relay.web.idempotency import HEADER, takes_key
from relay.web.problems import MEDIA_TYPE

EXTENSION = "relay.document"

Document = dict[str, Any]

INTRODUCTION = """Every answer is JSON. Amounts are texts in USDT beside integers of millionths, times RFC 3339 in UTC.
Lists are read page by page: "next" of one page is "after" of the following one, null on the last.
What is not known, or there twice, in a query or a body, is refused, never ignored."""

_KEY_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Any text of yours. The same request with the same key is done once and answered alike for 24 hours:"
    " 409 while the first is being answered, 422 with another request.",
    "schema": {"type": "string", "pattern": '^"?[ !#-~]{1,255}"?$'},
}
_HEADERS = {
    "RateLimit-Policy": {"description": "The quota of a key and its window in seconds.", "schema": {"type": "string"}},
    "RateLimit": {"description": "What remains of it, and for how many seconds.", "schema": {"type": "string"}},
}


def document() -> Document:
    """Return the OpenAPI 3.1 document of the running application; it is made once."""
    app = current_app
    if EXTENSION not in app.extensions:
        assert isinstance(app, OpenAPI)  # noqa: S101  # create_app makes no other
        app.extensions[EXTENSION] = _completed(app)
    return cast("Document", app.extensions[EXTENSION])


def _completed(app: OpenAPI) -> Document:
    # The library keeps its own and hands it out again.
    doc: Document = deepcopy(app.api_doc)
    doc["info"]["description"] = INTRODUCTION
    doc["components"]["parameters"] = {"IdempotencyKey": _KEY_PARAMETER}
    doc["components"]["headers"] = _HEADERS
    doc["components"]["responses"] = {
        "Problem": {
            "description": "An error; its code has a page at /problems/<code>.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    }
    endpoints = _endpoints(app)
    for path, operations in doc["paths"].items():
        for method, operation in operations.items():
            endpoint = endpoints[path, method.upper()]
            access = access_of(app, endpoint)
            operation["operationId"] = endpoint.rpartition(".")[2]
            operation["x-roles"] = sorted(access.roles) if access else []
            told = (operation.get("description"), _of_query(app.view_functions[endpoint]))
            operation["description"] = " ".join(filter(None, told))
            _complete(doc, operation, takes=takes_key(method.upper(), path))
    return doc


def _of_query(view: Callable[..., Any]) -> str:
    """Return what the model of an operation's query says of its parameters, on one line."""
    model = get_type_hints(view).get("query")
    return " ".join((inspect.getdoc(model) or "").split()) if model is not None else ""


def _complete(doc: Document, operation: Document, *, takes: bool) -> None:
    """Say once what every operation shares: its errors, its headers, the key of a repeat."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
            continue
        # Each carries its own copy of the one shape.
        doc["components"]["schemas"]["Problem"] = response["content"][MEDIA_TYPE]["schema"]
        operation["responses"][status] = {"$ref": "#/components/responses/Problem"}
    operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    if takes:
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})


def _endpoints(app: OpenAPI) -> dict[tuple[str, str], str]:
    """The names of the views by path, as the document spells it, and method."""
    return {
        (re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
