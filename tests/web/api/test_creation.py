"""Orders are made by POST /v1/orders, at a provider on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask_openapi3 import OpenAPI

from config.settings import load
from relay.bootstrap import Runtime, build
from relay.core.signatures import sign
from relay.web import create_app
from tests.core.calling import SECRET, sources_toml
from tests.edge.providers import FakeProvider
from tests.flows.creating import FIELDS
from tests.rows import a_key
from tests.web.conftest import ENVIRONMENT, Caller


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A provider that stops at the end."""
    found = FakeProvider()
    yield found
    found.close()


@pytest.fixture
def runtime(database_url: str, redis_url: str, provider: FakeProvider) -> Iterator[Runtime]:
    """A web process whose source has that provider."""
    places = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "RELAY_SOURCES": sources_toml(provider.url)}
    built = build(load(ENVIRONMENT | places))
    yield built
    built.engine.dispose()


def test_an_order_is_made_and_paid(runtime: Runtime, app: OpenAPI, admin: Caller, provider: FakeProvider) -> None:
    """From the request to the credit, with the whole story at the end."""
    made = admin.post("/v1/orders", FIELDS, status=201)
    assert (made["state"], made["expected_amount"], made["provider_order_id"]) == ("created", "3.500000", "cz-1")
    assert (made["creation"]["state"], made["creation"]["answer"]) == ("done", {"provider_order_id": "cz-1"})
    assert provider.book["sh-1"]["notify_url"] == "https://relay.example/callbacks/crossing"
    fields = {"appid": "VunT0000h1l8", "orderid": "sh-1", "amount": "35000", "localusermark": "7", "t": "1790000000"}
    signature = sign(runtime.sources["crossing"].adapter.scheme, SECRET, fields)
    assert app.test_client().post("/callbacks/crossing", data=fields | {"sign": signature}).data == b"success"
    shown = admin.get("/v1/orders/crossing/sh-1")
    assert (shown["state"], shown["credited"]) == ("succeeded", "3.500000")
    assert [step["what"] for step in shown["timeline"]] == ["creation", "callback", "event"]


def test_the_same_again_is_the_same(admin: Caller, provider: FakeProvider) -> None:
    """With other fields it is a conflict."""
    assert admin.post("/v1/orders", FIELDS, status=201) == admin.post("/v1/orders", FIELDS, status=201)
    assert admin.post("/v1/orders", FIELDS | {"amount": "4"}, status=409)["code"] == "order_exists"
    assert len(provider.asked) == 1


def test_a_refusal_comes_back_in_the_providers_words(admin: Caller, provider: FakeProvider) -> None:
    """As a problem whose code is ours and stable."""
    provider.before = lambda _: (200, b'{"status": 0, "err": "address is in use"}')
    told = admin.post("/v1/orders", FIELDS, status=422)
    assert (told["code"], told["detail"]) == ("provider_refused", "address is in use")
    assert admin.get("/v1/orders/crossing/sh-1")["state"] == "failed"


def test_what_nobody_knows_is_told_as_that(admin: Caller, provider: FakeProvider) -> None:
    """202, and the order shows how it stands."""
    provider.before = lambda _: (502, b"")
    told = admin.post("/v1/orders", FIELDS, status=202)
    assert (told["state"], told["creation"]["state"], told["creation"]["error"]) == ("creating", "unknown", "HTTP 502")


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"amount": 3.5}, 422, "/amount"),
        ({"amont": "3"}, 422, "/amont"),
        ({"source": None}, 422, "/source"),
        ({"source": "nowhere"}, 422, "/source"),
        ({"kind": "gift"}, 422, "/kind"),
        ({"amount": None}, 422, "/amount"),
        ({"orderid": "a\0"}, 422, "/orderid"),
    ],
)
def test_bad_input_is_named(
    admin: Caller, provider: FakeProvider, changes: dict[str, Any], status: int, pointer: str
) -> None:
    """Where it stands, and nothing is sent."""
    told = admin.post("/v1/orders", FIELDS | changes, status=status)
    assert told["errors"][0]["pointer"] == pointer, told
    assert provider.asked == []


def test_only_services_make_orders(runtime: Runtime, app: OpenAPI) -> None:
    """And only of the sources in their scope."""
    for roles, sources, status in (
        ({"operator"}, None, 403),
        ({"service"}, {"other"}, 422),
        ({"service"}, {"crossing"}, 201),
    ):
        caller = Caller(app.test_client(), a_key(runtime.engine, *roles, sources=sources))
        caller.post("/v1/orders", FIELDS, status=status)


def test_a_source_that_cannot_make_orders_is_a_conflict(database_url: str, redis_url: str) -> None:
    """It says what is missing from the configuration."""
    places = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    plain = build(load(ENVIRONMENT | places))
    caller = Caller(create_app(plain).test_client(), ENVIRONMENT["RELAY_ADMIN_KEY"])
    told = caller.post("/v1/orders", FIELDS, status=409)
    plain.engine.dispose()
    assert (told["code"], "sources.crossing.base_url" in told["detail"]) == ("cannot_create", True)
