"""The callback route, byte by byte, in process: what it answers is what makes a provider come again or give up."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from config.settings import load
from relay.bootstrap import Runtime, build, probe_keys
from relay.core.probes import HEADER, sign_probe
from relay.core.rendering import render
from relay.flows.forwarding import Forwarder
from relay.ports import Reply
from relay.store.engine import reading, writing
from relay.store.rows import callbacks
from relay.web import create_app
from tests.core.examples import paid, preset
from tests.fakes import FakeHandler
from tests.system import SOURCES, a_body

FORM = "application/x-www-form-urlencoded"
EPAY = """
[sources.epay]
adapter = "epay"
appid = "1000"
secrets = ["epay-secret"]
evidence = ["signature"]
"""


@pytest.fixture
def runtime(database_url: str, redis_url: str) -> Iterator[Runtime]:
    """A web process with the source that `a_body` signs for."""
    environment = {
        "SECRET_KEY": "s" * 48,
        "RELAY_SOURCES": SOURCES + EPAY,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }
    built = build(load(environment))
    yield built
    built.engine.dispose()


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    """A provider."""
    return create_app(runtime).test_client()


def call(client: FlaskClient, body: bytes, **environ: Any) -> tuple[int, bytes]:
    """Post a body to the source."""
    answer = client.post("/callbacks/crossing", data=body, content_type=environ.pop("content_type", FORM), **environ)
    return answer.status_code, answer.data


def kept(runtime: Runtime) -> list[Any]:
    """What is stored of the requests that came."""
    with reading(runtime.engine) as connection:
        return list(connection.execute(select(callbacks).order_by(callbacks.c.id)).all())


def test_an_accepted_callback_gets_the_providers_own_ack(client: FlaskClient) -> None:
    """200 and the bare word."""
    assert call(client, a_body("sh-1")) == (200, b"success")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"x" * (64 * 1024 + 1), FORM, 413, "too_large"),
        (b"{}", "application/json", 415, "unsupported_media_type"),
        (b"orderid=a", FORM, 401, "bad_signature"),
        (b"orderid=a&orderid=b", FORM, 400, "duplicate_field"),
        (b"\xff\xfe", FORM, 400, "malformed"),
    ],
)
def test_a_refused_request_is_kept_with_its_reason(
    client: FlaskClient, runtime: Runtime, *, body: bytes, content_type: str, status: int, reason: str
) -> None:
    """So that a wrong deploy of ours loses nothing; one that was too large is kept without its body."""
    assert call(client, body, content_type=content_type) == (status, reason.encode())
    (one,) = kept(runtime)
    assert (one.verdict, one.reason, one.address) == ("rejected", reason, "127.0.0.1")
    assert bytes(one.body) == (b"" if status == 413 else body)


def test_a_body_that_ends_early_is_malformed(client: FlaskClient) -> None:
    """Never a shorter body than was announced."""
    environ = {"CONTENT_LENGTH": "500", "wsgi.input": io.BytesIO(a_body("sh-1"))}
    answer = client.post("/callbacks/crossing", content_type=FORM, environ_overrides=environ)
    assert (answer.status_code, answer.data) == (400, b"malformed")


def test_an_unknown_source_may_be_called_anything(client: FlaskClient, runtime: Runtime) -> None:
    """Its name is the sender's choice: a NUL, a line break or a kilobyte of it harm nobody."""
    for name in ("nobody", "%00", "a%0Ab", "x" * 1000):
        assert client.post(f"/callbacks/{name}", data=b"", content_type=FORM).status_code == 404
    assert [len(one.source) <= 64 for one in kept(runtime)] == [True] * 4


def test_our_own_failure_is_503_and_asks_to_come_again(client: FlaskClient, runtime: Runtime) -> None:
    """Whatever goes wrong in us is never the provider's fault."""
    with writing(runtime.engine) as connection:
        connection.execute(text("ALTER TABLE orders RENAME TO orders_gone"))
    answer = client.post("/callbacks/crossing", data=a_body("sh-1"), content_type=FORM)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert kept(runtime) == []


def test_an_error_that_nobody_foresaw_is_503_too(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is answered like an outage."""
    monkeypatch.setattr(type(runtime.intake), "receive", lambda *_: 1 / 0)
    answer = create_app(runtime).test_client().post("/callbacks/crossing", data=b"", content_type=FORM)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_a_provider_may_call_with_a_get_that_is_all_query(client: FlaskClient, runtime: Runtime) -> None:
    """EPay does; its request is kept with the query, and read again from there."""
    query = render(preset("epay"), "epay-secret", paid(preset("epay")), datetime.now(UTC))[0].decode()
    answer = client.get("/callbacks/epay", query_string=query)
    assert (answer.status_code, answer.data) == (200, b"success")
    assert client.put("/callbacks/epay", query_string=query).status_code == 405
    (one,) = kept(runtime)
    assert (one.verdict, one.query) == ("accepted", query)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_calls_back(client: FlaskClient, method: str) -> None:
    """A browser that follows the URL learns that it is the wrong way; who asks for the head alone gets no more."""
    answer = client.open("/callbacks/crossing", method=method)
    assert (answer.status_code, answer.headers["Content-Length"]) == (405, "18")
    assert answer.data == (b"" if method == "HEAD" else b"method_not_allowed")


OBSERVED = 'mode = "observe"\nupstream_handler = "https://shop.example/pay"\n'


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply(status=200, body=b"success", content_type="text/html"), (200, b"success", "text/html")),
        (Reply(status=299, body=b"\xff\0", content_type="x/y\r\n z"), (299, b"\xff\0", "text/plain")),
        (Reply(status=500, body=b"<h1>oh</h1>", content_type="text/html"), (500, b"<h1>oh</h1>", "text/html")),
        (Reply(status=None, error="timeout"), (503, b"try again", "text/plain; charset=utf-8")),
    ],
    ids=["an ack", "odd bytes", "its own failure", "no answer"],
)
def test_the_answer_of_an_old_handler_is_passed_on(
    database_url: str, redis_url: str, *, reply: Reply, answer: tuple[int, bytes, str]
) -> None:
    """Byte for byte, whatever it is; without one the provider is asked to come again. Other sources go on as ever."""
    text = SOURCES + OBSERVED + EPAY + OBSERVED + "[sources.live]\n" + SOURCES.partition("]\n")[2]
    environment = {"SECRET_KEY": "s" * 48, "RELAY_SOURCES": text, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    runtime, handler = build(load(environment)), FakeHandler(reply)
    behind = replace(runtime, forwarder=Forwarder(runtime.intake, handler, runtime.sources))
    client = create_app(behind).test_client()
    got = client.post("/callbacks/crossing", data=a_body("sh-1"), content_type=FORM)
    assert (got.status_code, got.data, got.headers["Content-Type"]) == answer
    assert client.get("/callbacks/epay?a=%20b").status_code == answer[0]
    assert client.post("/callbacks/live", data=a_body("sh-2"), content_type=FORM).data == b"success"
    assert client.post("/callbacks/crossing", data=b"x" * 65_537, content_type=FORM).status_code == 413
    assert [(told.method, told.url) for told in handler.told] == [
        ("POST", "https://shop.example/pay"),
        ("GET", "https://shop.example/pay?a=%20b"),
    ]
    runtime.engine.dispose()


def test_a_probe_of_our_own_is_told_what_arrives_and_leaves_nothing(client: FlaskClient, runtime: Runtime) -> None:
    """A stranger's is refused; neither is stored."""
    value = sign_probe(probe_keys(runtime.settings)[0], "crossing", at=int(datetime.now(UTC).timestamp()))
    forwarded = {"X-Forwarded-For": "203.0.113.9, 10.0.0.1"}
    answer = client.post("/callbacks/crossing", headers={HEADER: value, **forwarded})
    told = answer.get_json()
    assert (answer.status_code, told["source"], told["client"]) == (200, "crossing", "127.0.0.1")
    assert (told["proxies"], told["hops"]) == (2, 0)
    for path, probe in (("/callbacks/epay", value), ("/callbacks/crossing", "1.x")):
        assert client.post(path, headers={HEADER: probe}).status_code == 401
    with reading(runtime.engine) as connection:
        assert connection.scalars(select(callbacks.c.id)).all() == []
