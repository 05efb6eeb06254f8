"""What surrounds every request: ids, addresses, headers."""

from __future__ import annotations

import uuid

import pytest
from flask import g, request
from flask_openapi3 import OpenAPI

from relay.web.auth import public
from relay.web.requests import HEADERS


@pytest.fixture
def echo(app: OpenAPI) -> OpenAPI:
    """An application that says what it knows of a request."""

    @app.route("/echo")
    @public("a test")
    def view() -> dict[str, str]:
        return {"id": g.request_id, "address": g.client_address, "scheme": request.scheme, "host": request.host}

    return app


def test_the_router_s_request_id_is_taken_over(echo: OpenAPI) -> None:
    """And sent back."""
    answer = echo.test_client().get("/echo", headers={"X-Request-ID": "f5bb5cf2-9b1e-4f40-9b1c-1e0f0c8d7e6f"})
    assert answer.headers["X-Request-ID"] == answer.get_json()["id"] == "f5bb5cf2-9b1e-4f40-9b1c-1e0f0c8d7e6f"


@pytest.mark.parametrize("given", ["short", "x" * 201, "twenty-characters\tand-a-tab", "", "ünïcödé-ünïcödé-ünïcödé"])
def test_an_id_that_could_upset_a_log_is_replaced(echo: OpenAPI, given: str) -> None:
    """By one of our own."""
    answer = echo.test_client().get(
        "/echo", headers={"X-Request-ID": given.encode("latin-1", "replace").decode("latin-1")}
    )
    assert uuid.UUID(answer.get_json()["id"])


@pytest.mark.parametrize("path", ["/echo", "/nowhere", "/v1/events"])
def test_every_answer_bears_the_security_headers(echo: OpenAPI, path: str) -> None:
    """Errors and refusals too."""
    headers = echo.test_client().get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS


def test_one_proxy_is_believed_and_no_more(echo: OpenAPI) -> None:
    """TRUSTED_PROXY_HOPS is 1 here: the last entry counts, what stands before it is the caller's claim; so is a host."""
    sent = {
        "X-Forwarded-For": "10.0.0.1, 198.51.100.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
    }
    seen = echo.test_client().get("/echo", headers=sent).get_json()
    assert (seen["address"], seen["scheme"], seen["host"]) == ("198.51.100.9", "https", "localhost")
