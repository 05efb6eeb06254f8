"""Bodies in chunks: what is no chunk is its sender's fault, and what is too long is refused, not cut."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI
from werkzeug.test import TestResponse

from relay.web import MOST_BYTES
from tests.web.conftest import ADMIN_KEY

KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}
OURS = {"Origin": "https://relay.example"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def client(app: OpenAPI) -> FlaskClient:
    """A browser, a program, or a provider."""
    return app.test_client()


class Broken(io.BytesIO):
    """A body in which the server finds something else than a chunk."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Fail as a server does; at what comes behind the body it is well."""
        raise self.error


def send(client: FlaskClient, path: str, body: io.BytesIO, kind: str, **headers: str) -> TestResponse:
    """Post a body whose length nobody has announced."""
    environ: dict[str, Any] = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_TYPE": kind}
    return client.open(path, method="POST", headers=headers, environ_overrides=environ)


@pytest.mark.parametrize(
    ("path", "kind", "headers"),
    [
        ("/callbacks/crossing", FORM, {}),
        ("/callbacks/crossing/verify-order", FORM, {}),
        ("/v1/replays", "application/json", KEY),
        ("/v1/orders/import", "text/csv", KEY),
        ("/sign-in", FORM, OURS),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError("no size of a chunk"), OSError("no more data")])
def test_what_is_no_chunk_is_the_senders_fault(
    client: FlaskClient, path: str, kind: str, headers: dict[str, str], error: Exception
) -> None:
    """Wherever it comes: a 5xx would be repeated for ever, and told as ours."""
    assert send(client, path, Broken(error), kind, **headers).status_code == 400


def test_a_provider_that_only_was_too_slow_may_try_again(client: FlaskClient) -> None:
    """It has sent nothing wrong."""
    assert send(client, "/callbacks/crossing", Broken(BlockingIOError()), FORM).status_code == 503


@pytest.mark.parametrize(
    ("path", "kind", "begin", "headers"),
    [("/v1/replays", "application/json", b'{"dry_run":true}', KEY), ("/sign-in", FORM, b"name=ann&x=", OURS)],
)
def test_what_is_too_long_is_not_cut(
    client: FlaskClient, path: str, kind: str, begin: bytes, headers: dict[str, str]
) -> None:
    """What is left of it could be taken for the whole."""
    whole, longer = begin.ljust(MOST_BYTES - 1), begin.ljust(MOST_BYTES + 1)
    assert send(client, path, io.BytesIO(whole), kind, **headers).status_code in (200, 401)
    assert send(client, path, io.BytesIO(longer), kind, **headers).status_code == 413
