"""Own what the models of the API's routes cannot see: what came twice, what no route asked for, and JSON that is none.

Each is refused by name, as an unknown field is; a wish that is ignored is a
surprise later. Pages have no models: of their fields nothing holds a NUL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Flask, Response, g, request
from flask.json.provider import DefaultJSONProvider
from pydantic import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from relay.core.json_text import is_too_deep
from relay.errors import Unprocessable
from relay.web.api.common import Input, OptionalBody
from relay.web.auth import READING_METHODS, is_page
from relay.web.framing import is_in_chunks
from relay.web.problems import invalid_input, pointer
from relay.web.requests import is_import


class NoQuery(Input):
    """The query of a route that reads none."""


class NoBody(OptionalBody):
    """The body of a route that reads none."""


def be_strict(app: Flask) -> None:
    """Refuse what a route would not notice; registered behind the guard: who may not call is told nothing else."""
    app.json = StrictJSON(app)

    @app.before_request
    def _check() -> Response | None:
        if request.endpoint is not None and is_page(app):
            _check_fields()
            _check_end()
        if not request.path.startswith("/v1/") or "actor" not in g or request.endpoint is None:
            return None
        if "Content-Encoding" in request.headers:
            raise UnsupportedMediaType("send the body without Content-Encoding")
        reads = app.view_functions[request.endpoint].__annotations__
        try:
            _check_query(is_read="query" in reads)
            if request.method not in READING_METHODS and not is_import(request.path):
                _check_body(is_read="body" in reads)
        except ValidationError as error:
            return invalid_input(error)
        return None


def _check_fields() -> None:
    """Postgres holds no NUL in a text, and would call it our own failure."""
    for given in (request.args, request.form):
        for name, value in given.items(multi=True):
            if "\0" in value:
                raise Unprocessable("must not hold a NUL character", pointer=pointer([name]))


def _check_end() -> None:
    """What comes in chunks would be cut at the limit without a word, and what is left could be taken for the whole."""
    if is_in_chunks(request.environ) and request.method not in READING_METHODS:
        request.get_data()
        if request.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge


def _check_query(*, is_read: bool) -> None:
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Unprocessable(f"{name} is there twice", pointer=pointer([name]))
    if not is_read:
        NoQuery.model_validate(request.args.to_dict())
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError:
        raise Unprocessable("the query is not UTF-8") from None


def _check_body(*, is_read: bool) -> None:
    given = request.get_json(silent=True)
    _check_end()
    # A text with JSON in it would be read by the routes.
    if not is_read or isinstance(given, str):
        NoBody.model_validate(given)


class _Repeating(dict[str, Any]):
    """An object that says of a name two things."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]


class StrictJSON(DefaultJSONProvider):
    """Reads JSON as RFC 8259 has it between systems: UTF-8, no name twice in an object, no depth that hurts."""

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Return the value; ValueError for what is no JSON, Unprocessable where a name is there twice."""
        text = s if isinstance(s, str) else s.decode()
        if is_too_deep(text):
            raise ValueError("nested too deep")
        value = json.loads(text, object_pairs_hook=_object)
        for place in _repeated(value, []):
            raise Unprocessable(f"{place[-1]} is there twice", pointer=pointer(place))
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeating(pairs)


def _repeated(value: Any, place: list[str | int]) -> Iterator[list[str | int]]:
    if isinstance(value, _Repeating):
        yield [*place, value.repeated]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in inside:
        yield from _repeated(inner, [*place, step])
