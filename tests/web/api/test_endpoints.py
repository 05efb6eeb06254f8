"""Subscribers register, change, stop, start and test their endpoints, and reach nobody else's."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from sqlalchemy import select

from relay.bootstrap import Runtime
from relay.core.filters import FILTERS
from relay.core.webhooks import key_of
from relay.store import audit, rows
from relay.store.engine import reading
from tests.rows import a_delivery, a_key, an_endpoint, an_event
from tests.web.conftest import Caller

URL = "https://shop.example/hooks/recharge"
NO_FILTERS = dict.fromkeys(FILTERS)


@pytest.fixture
def shop(runtime: Runtime, app: OpenAPI) -> Caller:
    """A service with a key of its own."""
    return Caller(app.test_client(), a_key(runtime.engine, "service"))


@pytest.fixture
def other(runtime: Runtime, app: OpenAPI) -> Caller:
    """Another service."""
    return Caller(app.test_client(), a_key(runtime.engine, "service"))


@pytest.fixture
def bound(runtime: Runtime, app: OpenAPI) -> Caller:
    """A service whose key is bound to one source."""
    return Caller(app.test_client(), a_key(runtime.engine, "service", sources={"crossing"}))


def states(runtime: Runtime, endpoint: str) -> list[tuple[str, str | None]]:
    """The state and last error of an endpoint's deliveries."""
    table = rows.deliveries
    query = select(table.c.state, table.c.last_error).where(table.c.endpoint_id == endpoint).order_by(table.c.id)
    with reading(runtime.engine) as connection:
        return [(row.state, row.last_error) for row in connection.execute(query)]


def acts(runtime: Runtime) -> list[str]:
    """What was audited, oldest first; the chain must be whole."""
    with reading(runtime.engine) as connection:
        assert audit.verify(connection) is None
        return [row["act"] for row in audit.page(connection, after=None, limit=50).rows][::-1]


def test_a_new_endpoint_shows_its_secret_once(runtime: Runtime, shop: Caller) -> None:
    """32 random bytes, stored wrapped, told in the answer and never again."""
    answer = shop("POST", "/v1/endpoints", json={"url": URL, "event_types": ["recharge.succeeded"]})
    made = answer.get_json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/endpoints/{made['id']}")
    assert len(key_of(made["secret"])) == 32
    assert made["secret"].startswith("whsec_")
    seen = shop.get(f"/v1/endpoints/{made['id']}")
    assert seen == {name: value for name, value in made.items() if name != "secret"}
    assert (seen["url"], seen["event_types"], seen["state"]) == (URL, ["recharge.succeeded"], "enabled")
    with reading(runtime.engine) as connection:
        stored = str(connection.scalar(select(rows.endpoints.c.secrets)))
    assert made["secret"] not in stored
    assert runtime.vault.decrypt(json.loads(stored)[0]["secret"]) == made["secret"]
    assert acts(runtime) == ["endpoint.create"]


@pytest.mark.parametrize(
    ("wishes", "pointer", "words"),
    [
        ({}, "/url", "required"),
        ({"url": ""}, "/url", "https://"),
        ({"url": "http://shop.example/"}, "/url", "RELAY_ENDPOINT_ALLOW_CIDRS"),
        ({"url": "https://127.0.0.1/"}, "/url", "RELAY_ENDPOINT_ALLOW_CIDRS"),
        ({"url": "https://169.254.169.254/latest"}, "/url", "metadata"),
        ({"url": "https://a\0b/"}, "/url", "NUL"),
        ({"url": URL, "event_types": ["recharge.succeeded", "recharge.won"]}, "/event_types/1", "no such type"),
        ({"url": URL, "filters": {"sources": ["nowhere"]}}, "/filters/sources/0", "no such source"),
        ({"url": URL, "filters": {"users": ["1"]}}, "/filters/users", "not permitted"),
        ({"url": URL, "filters": {"appid": ""}}, "/filters/appid", "empty"),
        ({"url": URL, "filters": {"appid": 7}}, "/filters/appid", "string"),
        ({"url": URL, "filters": {"user_prefix": "a\0"}}, "/filters/user_prefix", "NUL"),
        ({"url": URL, "filters": {"amount_min": 1}}, "/filters/amount_min", "string"),
        ({"url": URL, "filters": {"amount_min": "1,5"}}, "/filters/amount_min", "decimal"),
        ({"url": URL, "filters": {"amount_min": "2", "amount_max": "1"}}, "/filters/amount_max", "below"),
        ({"url": URL, "filters": {"flags": ["early"]}}, "/filters/flags/0", "overpaid"),
        ({"url": URL, "format": "xml"}, "/format", "provider"),
        ({"url": URL, "kind": "any"}, "/kind", "per_order"),
        ({"url": URL, "signing": "own"}, "/signing", "for the format provider"),
        (
            {"url": URL, "format": "provider", "event_types": ["recharge.held"]},
            "/event_types",
            "recharge.succeeded only",
        ),
        ({"url": URL, "format": "text"}, "/event_types", "name some"),
        (
            {"url": URL, "format": "text", "event_types": ["relay.alert", "recharge.held"]},
            "/event_types/1",
            "operational types only",
        ),
        ({"url": URL, "format": "text", "kind": "per_order", "event_types": ["relay.alert"]}, "/format", "orders"),
        ({"url": URL, "headers": {"Host": "a"}}, "/headers/Host", "set by us"),
        ({"url": URL, "headers": {"x": 1}}, "/headers/x", "string"),
        ({"url": URL, "headers": {f"x-{n}": "1" for n in range(21)}}, "/headers", "20"),
        ({"url": f"{URL}?tenant=1", "kind": "per_order"}, "/url", "before the query"),
        ({"url": "https://shop.example/a/../b", "kind": "per_order"}, "/url", "dot segment"),
        ({"url": URL, "concurrency": 0}, "/concurrency", "greater"),
        ({"url": URL, "rate": 0}, "/rate", "greater"),
        ({"url": URL, "rate": 1_001}, "/rate", "less"),
        ({"url": URL, "ordered": None}, "/ordered", "boolean"),
        ({"url": URL, "description": "a\0b"}, "/description", "NUL"),
        ({"url": URL, "description": "x" * 501}, "/description", "500"),
        ({"url": URL, "secret": "whsec_mine"}, "/secret", "not permitted"),
    ],
)
def test_a_wish_that_cannot_be_met_is_explained(
    runtime: Runtime, shop: Caller, wishes: dict[str, Any], pointer: str, words: str
) -> None:
    """422 with the field, the reason, and the setting that would allow it."""
    answer = shop("POST", "/v1/endpoints", json=wishes)
    error = answer.get_json()["errors"][0]
    assert (answer.status_code, error["pointer"]) == (422, pointer)
    assert words in error["detail"]
    assert acts(runtime) == []


def test_half_a_character_is_refused(shop: Caller) -> None:
    """JSON can spell what no database can store."""
    sent = b'{"url": "https://shop.example/", "description": "\\ud800"}'
    assert shop("POST", "/v1/endpoints", data=sent, content_type="application/json").status_code == 422


def test_a_prefix_is_one_endpoints_alone(shop: Caller) -> None:
    """An order's URL says which endpoint it means; and where orders were registered, the prefix stays."""
    made = shop.post("/v1/endpoints", {"url": "https://SHOP.example:443/hooks", "kind": "per_order"}, status=201)
    assert (made["url"], made["kind"]) == ("https://shop.example/hooks", "per_order")
    for url in ("https://shop.example/hooks", "https://shop.example/hooks/1", "https://shop.example/"):
        shop.post("/v1/endpoints", {"url": url, "kind": "per_order"}, status=409)
    shop.post("/v1/endpoints", {"url": "https://shop.example/hooks2", "kind": "per_order"}, status=201)
    shop.post("/v1/endpoints", {"url": "https://shop.example/hooks"}, status=201)
    moved = shop("PATCH", f"/v1/endpoints/{made['id']}", json={"url": "https://shop.example/elsewhere"})
    assert (moved.status_code, moved.get_json()["errors"][0]["pointer"]) == (422, "/url")


def test_the_providers_format_carries_one_type(shop: Caller) -> None:
    """Whatever was left out; a test event cannot be said in it."""
    wishes = {"url": URL, "format": "provider", "signing": "own"}
    made = shop.post("/v1/endpoints", wishes, status=201)
    assert (made["format"], made["signing"], made["event_types"]) == ("provider", "own", ["recharge.succeeded"])
    path = f"/v1/endpoints/{made['id']}"
    assert shop("PATCH", path, json={"event_types": ["recharge.held"]}).status_code == 422
    assert shop("PATCH", path, json={"event_types": None}).get_json()["event_types"] == ["recharge.succeeded"]
    assert shop("PATCH", path, json={"format": "standard"}).status_code == 422
    shop.post(f"{path}/test", status=409)


def test_a_chat_tool_is_told_what_people_have_to_know(shop: Caller) -> None:
    """Operational types alone, now and after a change; it can be tested."""
    made = shop.post("/v1/endpoints", {"url": URL, "format": "text", "event_types": ["relay.alert"]}, status=201)
    path = f"/v1/endpoints/{made['id']}"
    for types in (None, [], ["recharge.succeeded"]):
        assert shop("PATCH", path, json={"event_types": types}).status_code == 422
    assert shop("PATCH", path, json={"event_types": ["endpoint.disabled"]}).status_code == 200
    shop.post(f"{path}/test", status=202)


def test_the_values_of_headers_are_never_shown_again(runtime: Runtime, shop: Caller) -> None:
    """Stored wrapped, by name; neither an answer nor the audit holds one."""
    asked = {"Authorization": "Bearer of-good-news", "X-Tenant": "7"}
    made = shop("POST", "/v1/endpoints", json={"url": URL, "headers": asked})
    path = f"/v1/endpoints/{made.get_json()['id']}"
    changed = shop("PATCH", path, json={"headers": {"authorization": "Bearer of-better-news"}})
    assert [one.get_json()["header_names"] for one in (made, changed)] == [
        ["authorization", "x-tenant"],
        ["authorization"],
    ]
    with reading(runtime.engine) as connection:
        stored = json.loads(str(connection.scalar(select(rows.endpoints.c.headers))))
        audited = str(connection.execute(select(rows.audit)).all())
    assert runtime.vault.decrypt(stored["authorization"]) == "Bearer of-better-news"
    assert "news" not in made.text + changed.text + shop("GET", path).text + audited + str(stored)
    assert stored["authorization"] not in audited
    assert shop("PATCH", path, json={"headers": None}).get_json()["header_names"] == []


def test_headers_do_not_follow_an_endpoint_to_another_host(shop: Caller) -> None:
    """Else whoever may change a URL could read them there."""
    made = shop.post("/v1/endpoints", {"url": URL, "headers": {"x-key": "secret"}}, status=201)
    path = f"/v1/endpoints/{made['id']}"
    for url in ("https://elsewhere.example/", "https://shop.example:8443/hooks/recharge"):
        refused = shop("PATCH", path, json={"url": url})
        assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "/url")
    assert shop("PATCH", path, json={"url": "https://shop.example/other"}).status_code == 200
    moved = {"url": "https://elsewhere.example/", "headers": None}
    assert shop("PATCH", path, json=moved).get_json()["header_names"] == []
    assert shop("PATCH", path, json={"url": URL}).status_code == 200


def test_only_what_is_named_changes(shop: Caller) -> None:
    """PATCH; a null list means everything again."""
    made = shop.post("/v1/endpoints", {"url": URL, "description": "shop", "event_types": ["recharge.held"]}, status=201)
    changed = shop("PATCH", f"/v1/endpoints/{made['id']}", json={"event_types": None, "concurrency": 4}).get_json()
    assert (changed["event_types"], changed["concurrency"], changed["description"]) == (None, 4, "shop")
    changed = shop("PATCH", f"/v1/endpoints/{made['id']}", json={"rate": 5, "ordered": True}).get_json()
    assert (changed["rate"], changed["ordered"], changed["concurrency"]) == (5, True, 4)
    filtered = shop("PATCH", f"/v1/endpoints/{made['id']}", json={"filters": {"sources": ["crossing"]}}).get_json()
    assert filtered["filters"] == NO_FILTERS | {"sources": ["crossing"]}
    richer = {"user_prefix": "shop-", "amount_min": "1.5", "flags": ["late"]}
    filtered = shop("PATCH", f"/v1/endpoints/{made['id']}", json={"filters": richer}).get_json()
    assert filtered["filters"] == NO_FILTERS | richer | {"amount_min": "1.500000"}
    assert shop("PATCH", f"/v1/endpoints/{made['id']}", json={"filters": {}}).get_json()["filters"] == NO_FILTERS
    assert shop("PATCH", f"/v1/endpoints/{made['id']}", json={"url": "ftp://shop.example"}).status_code == 422


ACTS = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/disable"),
    ("POST", "/pause"),
    ("POST", "/enable"),
    ("POST", "/rotate-secret"),
    ("POST", "/test"),
]


@pytest.mark.parametrize(("method", "act"), ACTS)
def test_another_s_endpoint_does_not_exist(shop: Caller, other: Caller, admin: Caller, method: str, act: str) -> None:
    """404 for another key, and it is in no list of theirs; an admin sees and does all."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    assert other(method, f"/v1/endpoints/{made['id']}{act}", json={}).status_code == 404
    assert other.get("/v1/endpoints")["data"] == []
    assert [one["id"] for one in admin.get("/v1/endpoints")["data"]] == [made["id"]]
    assert admin(method, f"/v1/endpoints/{made['id']}{act}", json={}).status_code < 300


@pytest.mark.parametrize(("method", "act"), ACTS[1:])
def test_an_auditor_sees_all_and_touches_nothing(
    runtime: Runtime, app: OpenAPI, shop: Caller, method: str, act: str
) -> None:
    """Reading is all the role allows."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    auditor = Caller(app.test_client(), a_key(runtime.engine, "auditor"))
    assert auditor.get(f"/v1/endpoints/{made['id']}")["url"] == URL
    assert auditor(method, f"/v1/endpoints/{made['id']}{act}", json={}).status_code == 403


def test_a_service_that_also_audits_changes_only_its_own(runtime: Runtime, app: OpenAPI, shop: Caller) -> None:
    """Seeing all does not widen what may be changed."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    both = Caller(app.test_client(), a_key(runtime.engine, "service", "auditor"))
    assert both.get(f"/v1/endpoints/{made['id']}")["url"] == URL
    assert both("DELETE", f"/v1/endpoints/{made['id']}").status_code == 404


def test_a_bound_key_stays_within_its_sources(bound: Caller) -> None:
    """Its endpoints are filtered by its scope, and what tells of everything is not for it."""
    made = bound.post("/v1/endpoints", {"url": URL, "filters": {"appid": "a"}}, status=201)
    assert made["filters"] == NO_FILTERS | {"sources": ["crossing"], "appid": "a"}
    path = f"/v1/endpoints/{made['id']}"
    assert bound("PATCH", path, json={"filters": {"sources": None}}).status_code == 403
    assert bound("PATCH", path, json={"filters": {}}).status_code == 403
    assert bound("PATCH", path, json={"event_types": ["delivery.exhausted"]}).status_code == 403
    assert bound("PATCH", path, json={"event_types": ["relay.test"]}).status_code == 200


@pytest.mark.parametrize(("act", "state"), [("pause", "paused"), ("disable", "disabled")])
def test_a_stopped_endpoint_misses_nothing(runtime: Runtime, shop: Caller, act: str, state: str) -> None:
    """What was due waits; enabling tells how much and how old, and sends it."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    an_event(runtime.engine, 1)
    an_event(runtime.engine, 2)
    a_delivery(runtime.engine, 1, made["id"])
    a_delivery(runtime.engine, 2, made["id"], state="delivered")
    assert shop.post(f"/v1/endpoints/{made['id']}/{act}")["state"] == state
    assert states(runtime, made["id"]) == [("paused", None), ("delivered", None)]
    enabled = shop.post(f"/v1/endpoints/{made['id']}/enable")
    assert (enabled["endpoint"]["state"], enabled["waited"]) == ("enabled", 1)
    assert enabled["oldest"] == "2026-11-23T12:00:00.000Z"
    assert states(runtime, made["id"]) == [("pending", None), ("delivered", None)]
    assert acts(runtime) == ["endpoint.create", f"endpoint.{act}", "endpoint.enable"]


def test_what_waited_can_be_skipped(runtime: Runtime, shop: Caller) -> None:
    """Each stays as a dead delivery that can be retried."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    an_event(runtime.engine, 1)
    a_delivery(runtime.engine, 1, made["id"])
    shop.post(f"/v1/endpoints/{made['id']}/disable")
    assert shop.post(f"/v1/endpoints/{made['id']}/enable", {"skip": True})["waited"] == 1
    assert states(runtime, made["id"]) == [("dead", "skipped")]


def test_enabling_needs_no_body_but_reads_the_one_it_gets(shop: Caller) -> None:
    """A body that cannot be read must not pass for none."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    path = f"/v1/endpoints/{made['id']}/enable"
    assert shop("POST", path).status_code == 200
    assert shop("POST", path, data="{skip", content_type="application/json").status_code == 400


def test_stopping_twice_is_one_act(runtime: Runtime, shop: Caller) -> None:
    """A repeat changes nothing and is not audited again."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    for _ in range(2):
        shop.post(f"/v1/endpoints/{made['id']}/disable")
    assert acts(runtime) == ["endpoint.create", "endpoint.disable"]


def test_a_deleted_endpoint_is_gone_and_its_history_stays(runtime: Runtime, shop: Caller, admin: Caller) -> None:
    """What waited is given up; the deliveries can still be seen."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    an_event(runtime.engine, 1)
    delivery = a_delivery(runtime.engine, 1, made["id"])
    assert shop("DELETE", f"/v1/endpoints/{made['id']}").status_code == 204
    assert shop("GET", f"/v1/endpoints/{made['id']}").status_code == 404
    assert admin.get("/v1/endpoints")["data"] == []
    assert states(runtime, made["id"]) == [("dead", "endpoint_deleted")]
    assert shop("POST", f"/v1/deliveries/{delivery}/retry").status_code == 409


def test_a_secret_that_leaked_ends_at_once(runtime: Runtime, shop: Caller) -> None:
    """With no overlap; with more than a week there is none either, but 422."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    path = f"/v1/endpoints/{made['id']}/rotate-secret"
    new = shop.post(path, {"overlap_hours": 0})
    with reading(runtime.engine) as connection:
        entries = json.loads(str(connection.scalar(select(rows.endpoints.c.secrets))))
    assert [runtime.vault.decrypt(one["secret"]) for one in entries] == [new["secret"]]
    refused = shop.post(path, {"overlap_hours": 169}, status=422)
    assert refused["errors"][0]["pointer"] == "/overlap_hours"


def test_a_rotated_secret_leaves_the_old_one_a_day(runtime: Runtime, shop: Caller) -> None:
    """Both sign meanwhile; a third rotation drops what has ended and never lengthens a life."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    first = shop.post(f"/v1/endpoints/{made['id']}/rotate-secret")
    until = datetime.fromisoformat(first["previous_until"])
    assert timedelta(hours=23, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=24)
    second = shop.post(f"/v1/endpoints/{made['id']}/rotate-secret")
    with reading(runtime.engine) as connection:
        entries = json.loads(str(connection.scalar(select(rows.endpoints.c.secrets))))
    assert [runtime.vault.decrypt(one["secret"]) for one in entries] == [
        second["secret"],
        first["secret"],
        made["secret"],
    ]
    assert [one["expires_at"] for one in entries] == [None, second["previous_until"], first["previous_until"]]


def test_a_test_goes_to_this_endpoint_alone(runtime: Runtime, shop: Caller, admin: Caller) -> None:
    """One event in the feed, one delivery that is due."""
    made = shop.post("/v1/endpoints", {"url": URL, "event_types": ["relay.test"]}, status=201)
    an_endpoint(runtime.engine, event_types=",relay.test,")
    delivery = shop.post(f"/v1/endpoints/{made['id']}/test", status=202)
    assert (delivery["endpoint_id"], delivery["event_type"], delivery["state"]) == (made["id"], "relay.test", "pending")
    event = admin.get(f"/v1/events/{delivery['event_id']}")
    assert event["data"] == {"event_id": event["id"], "sequence": 1, "endpoint_id": made["id"]}
    assert len(admin.get("/v1/deliveries")["data"]) == 1


def test_a_stopped_endpoint_is_not_tested(shop: Caller) -> None:
    """409: a test that waits tells nothing."""
    made = shop.post("/v1/endpoints", {"url": URL}, status=201)
    shop.post(f"/v1/endpoints/{made['id']}/disable")
    assert shop("POST", f"/v1/endpoints/{made['id']}/test").status_code == 409
