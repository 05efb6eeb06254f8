"""A scripted story, and one search for it in each way; what no order is known by leads elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.web.console.frame import PER_PAGE
from tests.rows import (
    a_delivery,
    a_heartbeat,
    a_match,
    a_session,
    a_stored_order,
    a_stored_transfer,
    an_endpoint,
    an_event,
)
from tests.web.api.test_desk import signed
from tests.web.conftest import ADMIN_KEY, Caller, Visitor

ADDRESS = "0xAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAb".lower()
ORDER = "/finance/orders/crossing/sh-42"


@pytest.fixture
def visitor(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An operator's browser."""
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    return Visitor(app.test_client(), a_session(runtime.engine, "op", "operator"))


@pytest.fixture
def told(runtime: Runtime, app: OpenAPI) -> dict[str, str]:
    """An order that was registered, paid on the chain and called back, among others; all that people have of it."""
    admin = Caller(app.test_client(), ADMIN_KEY)
    line = f'{{"source":"crossing","orderid":"sh-42","user_ref":"vip-7","amount":"1250.75","chain":"ethereum","address":"{ADDRESS}"}}'
    sent = admin("POST", "/v1/orders/import", data=line, content_type="application/x-ndjson")
    assert sent.status_code == 200, sent.text
    client, form = app.test_client(), "application/x-www-form-urlencoded"
    for orderid, user, amount in (("sh-41", "1", "30000"), ("sh-42", "vip-7", "12507500"), ("sh-43", "1", "30000")):
        body = signed(runtime, orderid=orderid, localusermark=user, amount=amount)
        assert client.post("/callbacks/crossing", data=body, content_type=form).text == "success"
    tx = a_stored_transfer(runtime.engine, 0x42, ADDRESS, amount_micros=1_250_750_000)
    a_match(runtime.engine, tx, "sh-42")
    event = next(one for one in admin.get("/v1/events")["data"] if one["data"]["orderid"] == "sh-42")
    return {
        "order": "sh-42",
        "user": "vip-7",
        "address": ADDRESS.upper().replace("0X", "0x"),
        "amount": "1,250.75",
        "event": event["id"],
        "transaction": tx.removeprefix("0x"),
    }


def test_any_order_is_found_in_one_search(visitor: Visitor, told: dict[str, str]) -> None:
    """Each way leads straight to the page that finance sees, and its story begins before the first callback."""
    assert {way: visitor.get("/console/search", q=f" {text} ").location for way, text in told.items()} == dict.fromkeys(
        told, ORDER
    )
    story = visitor.read(ORDER).partition("What happened")[2]
    steps = [story.index(f">{what}<") for what in ("created", "callback", "event")]
    assert steps == sorted(steps)


def test_several_are_listed_with_the_way_they_were_found(visitor: Visitor, told: dict[str, str]) -> None:
    """The newest first; nothing found says where else to look."""
    text = visitor.read("/console/search", q="3.00")
    assert "2 orders are found by “3.00”." in text
    assert text.index("sh-43") < text.index("sh-41")
    assert text.count('data-label="Expected"') == 2
    assert "Nothing is called “sh-4”." in visitor.read("/console/search", q="sh-4")
    assert "Find any order by what you have of it." in visitor.read("/console/search", q=" ")
    for wrong in ("x" * 501, "a\0b"):
        assert visitor.get("/console/search", q=wrong).status_code == 422


def test_a_later_page_says_how_many_more(runtime: Runtime, visitor: Visitor) -> None:
    """Its own rows are not all that is found."""
    for number in range(PER_PAGE + 1):
        a_stored_order(runtime.engine, f"sh-{number}", user_ref="vip-7")
    first = visitor.read("/console/search", q="vip-7")
    assert "50 and more orders are found by “vip-7”." in first
    (after,) = re.findall(r"after=(\d+)", first)
    assert "1 more order is found by “vip-7”." in visitor.read("/console/search", q="vip-7", after=after)


def test_the_page_tells_who_has_acknowledged(runtime: Runtime, visitor: Visitor) -> None:
    """Service by service, and as the last steps of the story."""
    a_stored_order(runtime.engine, "sh-1")
    an_event(runtime.engine, 1)
    wallet, ledger = (an_endpoint(runtime.engine, url=f"https://{name}.example/hook") for name in ("wallet", "ledger"))
    a_delivery(runtime.engine, 1, wallet, state="delivered", attempts=2, last_status=204, finished_at=datetime.now(UTC))
    a_delivery(
        runtime.engine, 1, ledger, state="dead", attempts=10, last_error="timeout", finished_at=datetime.now(UTC)
    )
    text = visitor.read("/finance/orders/crossing/sh-1")
    assert "1 of 2 messages were acknowledged, to 2 services." in text
    assert text.partition("What happened")[2].count(">acknowledged<") == 1


def test_an_event_of_the_house_has_a_page_of_its_own(runtime: Runtime, visitor: Visitor) -> None:
    """It belongs to no order."""
    event = an_event(runtime.engine, 1, type="endpoint.disabled", source=None, namespace=None, orderid=None)
    assert visitor.get("/console/search", q=event).location == f"/console/events/{event}"
    assert "no service was to be told" in visitor.read(f"/console/events/{event}")


def test_an_unknown_transaction_is_explained(runtime: Runtime, visitor: Visitor) -> None:
    """From what scans have read; where that is nothing, the nodes are asked, and without any that is said."""
    place = f"/console/transactions/0x{0xBB:064x}"
    assert visitor.get("/console/search", q=f"{0xBB:064X}").location == place
    assert "No chain is switched on" in visitor.read(place)
    assert visitor.get("/console/transactions/0x12").status_code == 422
