"""Every error has one shape, and none tells too much."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from pydantic import BaseModel

from relay.errors import (
    Conflict,
    Forbidden,
    InvariantBroken,
    NotFound,
    RelayError,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from relay.web.auth import public


class Body(BaseModel):
    amount: int
    names: list[str] = []


def raising(app: OpenAPI, error: Exception) -> Any:
    """Call a route that raises."""

    @app.route("/raise")
    @public("a test")
    def view() -> str:
        raise error

    return app.test_client().get("/raise", headers={"X-Request-ID": "a-request-id-of-the-router"})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("no such endpoint"), 404, "not_found"),
        (Conflict("it is being sent"), 409, "conflict"),
        (Unauthorized("send a key"), 401, "unauthorized"),
        (Forbidden("not yours"), 403, "forbidden"),
        (Unavailable("the database does not answer"), 503, "unavailable"),
        (NotFound("no such source", code="unknown_source"), 404, "unknown_source"),
    ],
)
def test_an_error_of_ours_says_what_and_why(app: OpenAPI, error: RelayError, status: int, code: str) -> None:
    """RFC 9457, with a code that programs may compare."""
    answer = raising(app, error)
    assert answer.content_type == "application/problem+json"
    assert answer.get_json() == {
        "type": f"/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": error.detail,
        "code": code,
        "instance": "a-request-id-of-the-router",
    }


def test_who_is_told_to_come_back_is_told_when(app: OpenAPI) -> None:
    """503 bears Retry-After."""
    assert raising(app, Unavailable()).headers["Retry-After"] == "5"


def test_who_has_no_key_is_told_which_scheme(app: OpenAPI) -> None:
    """401 bears WWW-Authenticate (RFC 9110)."""
    assert raising(app, Unauthorized()).headers["WWW-Authenticate"] == "Bearer"


def test_a_field_that_a_rule_refuses_is_pointed_at(app: OpenAPI) -> None:
    """The pointer is the one of the rule."""
    answer = raising(app, Unprocessable("is a loopback address", pointer="/url")).get_json()
    assert answer["errors"] == [{"pointer": "/url", "detail": "is a loopback address"}]


@pytest.mark.parametrize("error", [ZeroDivisionError("the canary"), InvariantBroken("the canary")])
def test_what_nobody_expected_stays_in_the_log(
    app: OpenAPI, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without a word of the error; one event with its traceback."""
    with caplog.at_level(logging.ERROR):
        answer = raising(app, error)
    assert answer.status_code == 500
    assert "canary" not in answer.get_data(as_text=True)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["request_failed"]


@pytest.mark.parametrize(
    ("sent", "status", "pointers"),
    [
        ({"json": {"amount": "many"}}, 422, ["/amount"]),
        ({"json": {"names": [1]}}, 422, ["/amount", "/names/0"]),
        ({"data": "{", "content_type": "application/json"}, 400, None),
        ({"data": "amount=1"}, 400, None),
        ({"json": [1]}, 400, None),
        ({"data": b"x" * 1_100_000, "content_type": "application/json"}, 413, None),
    ],
)
def test_a_body_that_does_not_fit_is_explained(
    app: OpenAPI, sent: dict[str, Any], status: int, pointers: list[str] | None
) -> None:
    """Each fault with a JSON pointer; what is no object at all is malformed."""

    @app.post("/body")
    @public("a test")
    def view(body: Body) -> str:
        return "read"

    view.__annotations__["body"] = Body
    answer = app.test_client().post("/body", **sent)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    if pointers:
        assert [one["pointer"] for one in answer.get_json()["errors"]] == pointers


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/livez", 405), ("GET", "/static/relay.css", 416)]
)
def test_the_framework_s_errors_have_the_same_shape(app: OpenAPI, method: str, path: str, status: int) -> None:
    """And keep the headers that belong to them; each has a code that a page explains."""
    answer = app.test_client().open(path, method=method, headers={"Range": "bytes=9999999-"})
    assert (answer.status_code, answer.get_json()["status"]) == (status, status)
    assert app.test_client().get(answer.get_json()["type"]).status_code == 200
    assert status != 405 or "GET" in answer.headers["Allow"]
