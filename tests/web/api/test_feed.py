"""Events and deliveries: what is shown, to whom, and what a retry does."""

from __future__ import annotations

from typing import Any

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.store import audit, rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import a_delivery, a_key, a_stored_order, add, an_endpoint, an_event
from tests.web.conftest import Caller


@pytest.fixture
def feed(runtime: Runtime) -> Runtime:
    """Four events of two sources and of none."""
    an_event(runtime.engine, 1, type="recharge.pending", orderid="sh-1")
    an_event(runtime.engine, 2, orderid="sh-1")
    an_event(runtime.engine, 3, source="other", namespace="other")
    an_event(runtime.engine, 4, type="delivery.exhausted", source=None, namespace=None, orderid=None)
    return runtime


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"type": "recharge.succeeded"}, [2, 3]),
        ({"source": "other"}, [3]),
        ({"orderid": "sh-1"}, [1, 2]),
        ({"orderid": "sh-1", "after": 1}, [2]),
        ({"since": "2026-11-23T12:00:03Z"}, [3, 4]),
        ({"since": "2026-11-23T13:00:02+01:00", "limit": 1}, [2]),
        ({"since": "2026-11-24T00:00:00Z"}, []),
        ({"since": "0001-01-01T00:00:00Z", "limit": 1}, [1]),
    ],
)
@pytest.mark.usefixtures("feed")
def test_the_feed_is_filtered(admin: Caller, query: dict[str, Any], expected: list[int]) -> None:
    """By type, source, order and time, in the order of commit."""
    assert [one["sequence"] for one in admin.get("/v1/events", **query)["data"]] == expected


@pytest.mark.usefixtures("feed")
def test_an_event_is_shown_as_it_is_sent(admin: Caller) -> None:
    """The fields of the body that every delivery sends, beside its id and its place."""
    (event,) = admin.get("/v1/events", after=1, limit=1)["data"]
    assert event == admin.get(f"/v1/events/{event['id']}")
    assert (event["type"], event["data"], event["sequence"]) == ("recharge.succeeded", {"sequence": 2}, 2)


def test_a_bound_key_reads_its_sources_alone(feed: Runtime, app: OpenAPI, admin: Caller) -> None:
    """What belongs to no source tells of all of them, so it is not for such a key."""
    bound = Caller(app.test_client(), a_key(feed.engine, "service", sources={"crossing"}))
    assert [one["sequence"] for one in bound.get("/v1/events")["data"]] == [1, 2]
    hidden = [one["id"] for one in admin.get("/v1/events", after=2)["data"]]
    assert [bound("GET", f"/v1/events/{one}").status_code for one in hidden] == [404, 404]


@pytest.fixture
def sent(feed: Runtime) -> dict[str, int]:
    """Deliveries in every state."""
    shop = an_endpoint(feed.engine, id="ep_shop", owner_key_id="key_shop")
    bank = an_endpoint(feed.engine, id="ep_bank")
    ids = {"pending": a_delivery(feed.engine, 1, shop)}
    ids["dead"] = a_delivery(feed.engine, 2, shop, state="dead", failures=10, last_error="timeout", finished_at=NOON)
    ids["delivered"] = a_delivery(feed.engine, 1, bank, state="delivered", attempts=1)
    ids["sending"] = a_delivery(feed.engine, 2, bank, state="sending")
    ids["held"] = a_delivery(feed.engine, 3, bank, state="held")
    ids["paused"] = a_delivery(feed.engine, 4, bank, state="paused")
    return ids


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "dead"}, ["dead"]),
        ({"endpoint": "ep_shop"}, ["dead", "pending"]),
        ({"orderid": "sh-1"}, ["sending", "delivered", "dead", "pending"]),
        ({"orderid": "sh-1", "state": "sending"}, ["sending"]),
        ({"event": "evt_none"}, []),
    ],
)
def test_deliveries_are_filtered(
    admin: Caller, sent: dict[str, int], query: dict[str, Any], expected: list[str]
) -> None:
    """By state, endpoint, event and order, newest first."""
    assert [one["id"] for one in admin.get("/v1/deliveries", **query)["data"]] == [sent[name] for name in expected]


def test_a_delivery_shows_its_attempts(feed: Runtime, admin: Caller, sent: dict[str, int]) -> None:
    """Status, latency, error and the first bytes of the answer, in order."""
    for number, outcome in ((1, "failed"), (2, "delivered")):
        add(feed.engine, rows.attempts, delivery_id=sent["delivered"], number=number, started_at=NOON, outcome=outcome)
    found = admin.get(f"/v1/deliveries/{sent['delivered']}")
    assert [one["outcome"] for one in found["history"]] == ["failed", "delivered"]
    assert (found["event_type"], found["orderid"], found["endpoint_id"]) == ("recharge.pending", "sh-1", "ep_bank")
    assert found["due_at"] == "2026-11-23T12:00:00.000Z"
    assert not {"lease_owner", "lease_until"} & set(found)


def test_a_service_sees_deliveries_to_its_own_endpoints(feed: Runtime, app: OpenAPI, sent: dict[str, int]) -> None:
    """Those of others do not exist for it."""
    service = Caller(app.test_client(), a_key(feed.engine, "service"))
    assert service.get("/v1/deliveries")["data"] == []
    assert service("GET", f"/v1/deliveries/{sent['dead']}").status_code == 404
    assert service("POST", f"/v1/deliveries/{sent['dead']}/retry").status_code == 404


@pytest.mark.parametrize("state", ["pending", "dead"])
def test_a_retry_begins_the_schedule_anew(feed: Runtime, admin: Caller, sent: dict[str, int], state: str) -> None:
    """Due now, with every step before it, and audited."""
    retried = admin.post(f"/v1/deliveries/{sent[state]}/retry")
    assert (retried["state"], retried["failures"], retried["finished_at"]) == ("pending", 0, None)
    assert (
        retried["due_at"] > "2026-11-23T12:00:00.000Z"
        or retried["due_at"] == admin.get(f"/v1/deliveries/{sent[state]}")["due_at"]
    )
    with reading(feed.engine) as connection:
        (act,) = audit.page(connection, after=None, limit=5).rows
    assert (act["act"], act["subject"], act["actor"]) == ("delivery.retry", str(sent[state]), "admin")


@pytest.mark.parametrize("state", ["delivered", "sending", "held", "paused"])
def test_a_retry_that_would_be_wrong_is_refused(feed: Runtime, admin: Caller, sent: dict[str, int], state: str) -> None:
    """409 says why, and nothing is changed or audited."""
    answer = admin("POST", f"/v1/deliveries/{sent[state]}/retry")
    assert answer.status_code == 409
    assert answer.get_json()["detail"]
    assert admin.get(f"/v1/deliveries/{sent[state]}")["state"] == state
    with reading(feed.engine) as connection:
        assert audit.head(connection).sequence == 0


@pytest.mark.parametrize("path", ["/v1/events/{event}", "/v1/orders/crossing/sh-1"])
def test_a_reader_who_has_it_is_not_told_again(runtime: Runtime, admin: Caller, path: str) -> None:
    """304 by ETag, until something changes."""
    event = an_event(runtime.engine, 1)
    a_stored_order(runtime.engine, "sh-1")
    path = path.format(event=event)
    first = admin("GET", path)
    tag = first.headers["ETag"]
    again = admin("GET", path, environ_overrides={"HTTP_IF_NONE_MATCH": tag})
    assert (again.status_code, again.get_data()) == (304, b"")
    assert admin("GET", path, environ_overrides={"HTTP_IF_NONE_MATCH": '"other"'}).status_code == 200
    assert first.headers["Cache-Control"] == "private, no-cache"


def test_what_has_not_arrived_can_be_listed(runtime: Runtime, admin: Caller) -> None:
    """Deliveries that are not delivered, and events that nobody was to be told."""
    shop = an_endpoint(runtime.engine)
    for sequence, state in enumerate(("delivered", "dead", "pending"), start=1):
        an_event(runtime.engine, sequence, body='{"type": "relay.test", "timestamp": "", "data": {}}')
        a_delivery(runtime.engine, sequence, shop, state=state)
    an_event(runtime.engine, 4, body='{"type": "relay.test", "timestamp": "", "data": {}}')
    found = admin.get("/v1/deliveries", undelivered="true")["data"]
    assert [one["state"] for one in found] == ["pending", "dead"]
    assert [one["sequence"] for one in admin.get("/v1/events", unsent="true")["data"]] == [4]
