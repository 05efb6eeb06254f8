"""The question of a provider whether an order is ours: signed or from a known address, answered by one word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from relay.bootstrap import Runtime
from relay.core.signatures import sign
from relay.web import create_app
from tests.rows import a_stored_order

PATH = "/callbacks/crossing/verify-order"


def ask(runtime: Runtime, **fields: str) -> dict[str, str]:
    """Fields as the provider signs them."""
    source = runtime.sources["crossing"]
    return fields | {"sign": sign(source.adapter.scheme, source.secrets[0].value, fields)}


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    """A caller without a key; one order is registered, one only came by a callback."""
    a_stored_order(runtime.engine, "sh-1", registered=True)
    a_stored_order(runtime.engine, "sh-2")
    return create_app(runtime).test_client()


@pytest.mark.parametrize(("orderid", "answer"), [("sh-1", "yes"), ("sh-2", "no"), ("sh-3", "no")])
def test_a_signed_question_is_answered_in_any_plain_shape(
    runtime: Runtime, client: FlaskClient, orderid: str, answer: str
) -> None:
    """Only an order that was registered is ours; query, form and JSON are taken."""
    signed = ask(runtime, orderid=orderid)
    found = [
        client.get(f"{PATH}?{urlencode(signed)}"),
        client.post(PATH, data=signed),
        client.post(PATH, json=ask(runtime, order_id=orderid)),
    ]
    assert [(one.status_code, one.get_data(as_text=True)) for one in found] == [(200, answer)] * 3


def test_a_known_address_needs_no_signature(runtime: Runtime) -> None:
    """It is on the source's list; whoever is not has to sign."""
    listed = replace(runtime.sources["crossing"], allow_ips=("198.51.100.7",))
    client = create_app(replace(runtime, sources={"crossing": listed})).test_client()
    a_stored_order(runtime.engine, "sh-1", registered=True)
    for address, status in (("198.51.100.7", 200), ("198.51.100.8", 401)):
        found = client.get(f"{PATH}?orderid=sh-1", headers={"X-Forwarded-For": address})
        assert found.status_code == status
    asked = client.get(f"{PATH}?{urlencode(ask(runtime, orderid='sh-1'))}", headers={"X-Forwarded-For": "198.51.100.8"})
    assert asked.get_data(as_text=True) == "yes"


BAD: dict[str, tuple[dict[str, Any], int]] = {
    "not signed": ({"query_string": "orderid=sh-1"}, 401),
    "signed for another": ({"query_string": {"orderid": "sh-1", "sign": "AA" * 20}}, 401),
    "no order": ({"query_string": "SIGNED:a=b"}, 400),
    "two orders": ({"query_string": "SIGNED:orderid=sh-1&order_id=sh-2"}, 400),
    "twice": ({"query_string": "orderid=sh-1&orderid=sh-1"}, 400),
    "nothing": ({}, 400),
}


@pytest.mark.parametrize(("options", "status"), BAD.values(), ids=BAD)
def test_anything_else_is_refused(runtime: Runtime, client: FlaskClient, options: dict[str, Any], status: int) -> None:
    """It tells nobody anything about any order."""
    query = options.get("query_string")
    if isinstance(query, str) and query.startswith("SIGNED:"):
        fields = dict(pair.split("=") for pair in query.removeprefix("SIGNED:").split("&"))
        options = {"query_string": ask(runtime, **fields)}
    assert client.get(PATH, **options).status_code == status


def test_an_unknown_source_is_not_found(client: FlaskClient) -> None:
    """As at the callback door."""
    assert client.get("/callbacks/nowhere/verify-order?orderid=sh-1").status_code == 404
