"""What operators, finance people and auditors see and do: callbacks, orders, sources, the audit."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import urlencode

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.core.signatures import sign
from relay.store import rows
from tests.builders import NOON
from tests.rows import a_delivery, a_key, a_stored_callback, a_stored_order, add, an_endpoint, an_event
from tests.web.conftest import Caller

_orders = itertools.count(1)


def signed(runtime: Runtime, **fields: str) -> bytes:
    """A body as the provider signs it."""
    source = runtime.sources["crossing"]
    whole = {
        "appid": "VunT0000h1l8",
        "orderid": f"sh-{next(_orders):022x}",
        "amount": "30000",
        "localusermark": "1",
        "t": "1662299838",
    } | fields
    signature = sign(source.adapter.scheme, source.secrets[0].value, whole)
    return urlencode(whole | {"sign": signature}).encode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"verdict": "rejected"}, [3, 2]),
        ({"reason": "bad_signature"}, [2]),
        ({"source": "nowhere"}, [3]),
        ({"source": "nowhere", "verdict": "accepted"}, []),
    ],
)
def test_callbacks_are_filtered(runtime: Runtime, admin: Caller, query: dict[str, Any], expected: list[int]) -> None:
    """By verdict, reason and source, newest first."""
    a_stored_callback(runtime.engine, id=1, verdict="accepted", reason=None, orderid="sh-1", amount_micros=3_000_000)
    a_stored_callback(runtime.engine, id=2)
    a_stored_callback(runtime.engine, id=3, source="nowhere", reason="unknown_source")
    assert [one["id"] for one in admin.get("/v1/callbacks", **query)["data"]] == expected


def test_a_callback_is_shown_with_its_bytes(runtime: Runtime, admin: Caller) -> None:
    """Bytes that are no text stand as escapes; a list leaves them out."""
    stored = a_stored_callback(
        runtime.engine, body=b"a=\xff\0", headers='{"user-agent":"x"}', amount_micros=3_000_000, flags="clock late"
    )
    found = admin.get(f"/v1/callbacks/{stored}")
    assert (found["body"], found["headers"]) == ("a=\\xff\0", {"user-agent": "x"})
    assert (found["amount"], found["amount_micros"], found["flags"]) == ("3.000000", 3_000_000, ["clock", "late"])
    assert "body" not in admin.get("/v1/callbacks")["data"][0]


def test_a_rejected_callback_may_pass_a_second_time(runtime: Runtime, app: OpenAPI, admin: Caller) -> None:
    """A dry run tells it, then it is done, then it is a repeat; every look is audited."""
    operator = Caller(app.test_client(), a_key(runtime.engine, "operator"))
    stored = a_stored_callback(runtime.engine, reason="unknown_source", body=signed(runtime))
    path = f"/v1/callbacks/{stored}/reprocess"
    assert operator.post(path, {"dry_run": True}) == {"id": stored, "result": "passes", "reason": None}
    assert admin.get("/v1/events")["data"] == []
    assert operator.post(path)["result"] == "accepted"
    assert operator("POST", path).get_json()["result"] == "duplicate"
    assert [one["type"] for one in admin.get("/v1/events")["data"]] == ["recharge.succeeded"]
    assert [one["detail"] for one in admin.get("/v1/audit")["data"]] == [
        {"ids": [stored], "dry_run": False},
        {"ids": [stored], "dry_run": False},
        {"ids": [stored], "dry_run": True},
    ]


def test_what_would_still_be_refused_is_told_and_not_stored_again(runtime: Runtime, admin: Caller) -> None:
    """The reason is today's."""
    stored = a_stored_callback(runtime.engine, body=signed(runtime)[:-1] + b"?", reason="unknown_source")
    outcome = admin.post(f"/v1/callbacks/{stored}/reprocess")
    assert (outcome["result"], outcome["reason"] != "unknown_source") == ("rejected", True)
    assert len(admin.get("/v1/callbacks")["data"]) == 1


def test_bytes_that_were_let_go_cannot_be_looked_at_again(runtime: Runtime, admin: Caller) -> None:
    """409."""
    stored = a_stored_callback(runtime.engine, body=None)
    assert admin("POST", f"/v1/callbacks/{stored}/reprocess").status_code == 409


def test_many_rejected_are_reprocessed_page_by_page(runtime: Runtime, admin: Caller) -> None:
    """Oldest first, by source and reason; accepted ones are left alone."""
    wanted = [a_stored_callback(runtime.engine, reason="late_key", body=signed(runtime)) for _ in range(3)]
    a_stored_callback(runtime.engine, reason="other", body=signed(runtime))
    a_stored_callback(runtime.engine, verdict="accepted", reason="late_key", body=signed(runtime))
    first = admin.post("/v1/callbacks/reprocess", {"reason": "late_key", "limit": 2})
    rest = admin.post("/v1/callbacks/reprocess", {"reason": "late_key", "limit": 2, "after": first["next"]})
    assert [one["id"] for one in first["data"] + rest["data"]] == wanted
    assert {one["result"] for one in first["data"] + rest["data"]} == {"accepted"}
    assert rest["next"] is None
    assert len(admin.get("/v1/events")["data"]) == 3


@pytest.fixture
def story(runtime: Runtime) -> Runtime:
    """An order to which everything happened."""
    a_stored_order(runtime.engine, "sh-1", flags="conflict", state="held", held_reason="conflict")
    a_stored_order(runtime.engine, "sh-2", user_ref="2", amount_micros=1, credited_micros=0)
    a_stored_callback(runtime.engine, verdict="accepted", namespace="crossing", orderid="sh-1", status="succeeded")
    an_event(runtime.engine, 1, orderid="sh-1")
    a_delivery(runtime.engine, 1, an_endpoint(runtime.engine, id="ep_1"), created_at=NOON.replace(minute=1))
    late = NOON.replace(minute=2)
    add(
        runtime.engine,
        rows.breaks,
        id="brk_1",
        kind="duplicate_conflict",
        severity=1,
        state="open",
        namespace="crossing",
        orderid="sh-1",
        evidence="{}",
        first_seen=late,
        last_seen=late,
    )
    return runtime


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["sh-2", "sh-1"]),
        ({"state": "held"}, ["sh-1"]),
        ({"user": "2"}, ["sh-2"]),
        ({"since": "2026-11-23T12:00:00Z"}, ["sh-2", "sh-1"]),
        ({"since": "2026-11-23T12:00:01Z"}, []),
    ],
)
@pytest.mark.usefixtures("story")
def test_orders_are_filtered(admin: Caller, query: dict[str, Any], expected: list[str]) -> None:
    """By state, user and last change, newest first."""
    assert [one["orderid"] for one in admin.get("/v1/orders", **query)["data"]] == expected


@pytest.mark.usefixtures("story")
def test_an_order_tells_its_story(admin: Caller) -> None:
    """Callbacks, events, deliveries and breaks, in order of time; amounts as text and as micros."""
    order = admin.get("/v1/orders/crossing/sh-1")
    assert [step["what"] for step in order["timeline"]] == ["created", "callback", "event", "delivery", "break"]
    assert [step["at"] for step in order["timeline"]] == sorted(step["at"] for step in order["timeline"])
    assert (order["amount"], order["credited"], order["expected_amount"]) == ("3.000000", "3.000000", None)
    assert (order["state"], order["held_reason"], order["flags"]) == ("held", "conflict", ["conflict"])
    assert admin.get("/v1/orders/crossing/sh-2")["amount"] == "0.000001"


def test_a_service_is_told_of_its_own_deliveries(story: Runtime, app: OpenAPI) -> None:
    """The order's story leaves out who else was told; finance sees all of it."""
    service = Caller(app.test_client(), a_key(story.engine, "service"))
    finance = Caller(app.test_client(), a_key(story.engine, "finance-read"))
    assert "delivery" not in {step["what"] for step in service.get("/v1/orders/crossing/sh-1")["timeline"]}
    assert "delivery" in {step["what"] for step in finance.get("/v1/orders/crossing/sh-1")["timeline"]}


def test_an_order_outside_a_key_s_sources_does_not_exist(story: Runtime, app: OpenAPI) -> None:
    """Neither by name nor in the list."""
    bound = Caller(app.test_client(), a_key(story.engine, "service", sources={"elsewhere"}))
    assert bound("GET", "/v1/orders/crossing/sh-1").status_code == 404
    assert bound.get("/v1/orders")["data"] == []


def test_an_order_number_may_hold_a_slash(runtime: Runtime, admin: Caller) -> None:
    """It is the provider's to choose."""
    a_stored_order(runtime.engine, "2026/11/23-1")
    assert admin.get("/v1/orders/crossing/2026/11/23-1")["orderid"] == "2026/11/23-1"


def test_a_paused_source_holds_what_comes(runtime: Runtime, app: OpenAPI, admin: Caller) -> None:
    """It is acknowledged all the same; resumed, the next one credits."""
    client = app.test_client()
    form = {"content_type": "application/x-www-form-urlencoded"}
    paused = admin.post("/v1/sources/crossing/pause")
    assert (paused["paused_by"], paused["callback_url"]) == ("admin", "https://relay.example/callbacks/crossing")
    assert client.post("/callbacks/crossing", data=signed(runtime), **form).text == "success"
    assert admin.post("/v1/sources/crossing/resume")["paused_at"] is None
    assert client.post("/callbacks/crossing", data=signed(runtime), **form).text == "success"
    assert [one["state"] for one in admin.get("/v1/orders")["data"]] == ["succeeded", "held"]
    assert [one["act"] for one in admin.get("/v1/audit")["data"]] == ["source.resume", "source.pause"]


def test_pausing_twice_keeps_the_first(admin: Caller) -> None:
    """Who paused it first is who paused it."""
    first = admin.post("/v1/sources/crossing/pause")
    assert admin.post("/v1/sources/crossing/pause") == first
    assert len(admin.get("/v1/audit")["data"]) == 1
    assert admin.get("/v1/sources")["data"] == [first]


def test_a_source_that_is_not_configured_cannot_be_paused(admin: Caller) -> None:
    """404."""
    assert admin("POST", "/v1/sources/nowhere/pause").status_code == 404


def test_the_audit_is_filtered(admin: Caller) -> None:
    """By who acted, and upon what."""
    admin.post("/v1/sources/crossing/pause")
    assert len(admin.get("/v1/audit", actor="admin", subject="crossing")["data"]) == 1
    assert admin.get("/v1/audit", actor="key_1")["data"] == []
    assert admin.get("/v1/audit", subject="other")["data"] == []
