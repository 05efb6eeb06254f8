"""The console's pages of the way out and of the door: what they tell, who may act, and that each act is written down."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from flask_openapi3 import OpenAPI
from redis import Redis
from sqlalchemy import select

from relay.bootstrap import Runtime
from relay.store import rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import (
    a_delivery,
    a_heartbeat,
    a_session,
    a_stored_callback,
    a_stored_order,
    add,
    an_endpoint,
    an_event,
)
from tests.web.api.test_desk import signed
from tests.web.conftest import Visitor

HOSTILE = "<script>alert(1)</script>\u202e=1+1" + "x" * 600
SECRET = "u" * 32
PAGES = (
    "/console",
    "/console/search",
    "/console/events",
    "/console/events?unsent=1&type=recharge.succeeded",
    "/console/deliveries",
    "/console/deliveries?undelivered=1&state=dead",
    "/console/deliveries/1",
    "/console/dead",
    "/console/endpoints",
    "/console/endpoints/ep_1",
    "/console/replays",
)
OPERATORS = (
    "/console/callbacks",
    "/console/callbacks?verdict=rejected",
    "/console/callbacks/rejected",
    "/console/callbacks/1",
    "/console/callbacks/1?probe=1",
    "/console/replays/new",
)
ACTS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("/console/deliveries/1/retry", {}, "delivery.retry"),
    ("/console/endpoints/ep_1/pause", {}, "endpoint.pause"),
    ("/console/endpoints/ep_1/enable", {"skip": "1"}, "endpoint.enable"),
    ("/console/endpoints/ep_1/disable", {}, "endpoint.disable"),
    ("/console/endpoints/ep_1/enable", {}, "endpoint.enable"),
    ("/console/endpoints/ep_1/test", {}, "endpoint.test"),
    ("/console/replays", {"only": "all"}, "replay.start"),
    ("/console/events/evt_1/replay", {"only": "failed"}, "replay.start"),
    ("/console/callbacks/1/reprocess", {"how": "do"}, "callback.reprocess"),
    ("/console/callbacks/rejected", {"how": "try", "source": "crossing"}, "callback.reprocess"),
    ("/console/sources/crossing/pause", {}, "source.pause"),
    ("/console/sources/crossing/resume", {}, "source.resume"),
)


@pytest.fixture(autouse=True)
def story(runtime: Runtime) -> None:
    """One dead letter with two attempts to a service with a header of its own, and one request that was refused."""
    engine = runtime.engine
    for kind in ("worker", "clock"):
        a_heartbeat(engine, kind, datetime.now(UTC))
    a_stored_order(engine, HOSTILE, user_ref=HOSTILE)
    an_event(
        engine, 1, id="evt_1", orderid=HOSTILE, body=json.dumps({"type": "recharge.succeeded", "data": {"x": HOSTILE}})
    )
    an_endpoint(
        engine, id="ep_1", url=f"https://shop.example/{HOSTILE}", description=HOSTILE, headers='{"X-Team": "wrapped"}'
    )
    a_delivery(engine, 1, "ep_1", id=1, state="dead", attempts=2, last_status=500, finished_at=datetime.now(UTC))
    for number, latency in ((1, 40), (2, 120)):
        started = datetime.now(UTC) - timedelta(minutes=number)
        tried = {"outcome": "failed", "status": 500, "latency_ms": latency, "answer": f"no {HOSTILE}"}
        add(engine, rows.attempts, delivery_id=1, number=number, started_at=started, finished_at=started, **tried)
    a_stored_callback(
        engine, id=1, body=signed(runtime), reason="bad_signature", headers=json.dumps({"x-odd": HOSTILE})
    )


@pytest.fixture
def operator(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An operator's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "op", "operator"))


def acts(runtime: Runtime) -> list[tuple[str, str]]:
    """Who did what, the oldest first."""
    with reading(runtime.engine) as connection:
        query = select(rows.audit.c.actor, rows.audit.c.act).order_by(rows.audit.c.sequence)
        return [(actor, act) for actor, act in connection.execute(query)]


def test_hostile_text_stays_text(operator: Visitor) -> None:
    """On every page, in every field that a stranger fills."""
    for path in (*PAGES, *OPERATORS):
        text = operator.read(path)
        assert "<script" not in text, path
        assert SECRET not in text, path


def test_an_attempt_is_shown_with_request_and_answer(operator: Visitor) -> None:
    """The bytes that were sent, the first bytes that came back; names of own headers, never their values."""
    text = operator.read("/console/deliveries/1")
    for words in ("given up after 2 attempts", "took 120 ms", "webhook-id: evt_1", "X-Team: …", "no &lt;script&gt;"):
        assert words in text
    assert "wrapped" not in text
    assert operator.get("/console/deliveries/9").status_code == operator.get("/console/deliveries/x").status_code == 404


def test_an_endpoint_shows_how_it_does(runtime: Runtime, operator: Visitor) -> None:
    """In a sentence, in two pictures, and in the table of both."""
    text = operator.read("/console/endpoints/ep_1")
    assert "0.0 % of the attempts of the last day were acknowledged." in text
    assert text.count("<svg") == 2
    assert text.count("The table below has the same figures.") == 2
    assert "120 ms" in text
    quiet = an_endpoint(runtime.engine)
    assert "Nothing was sent to it in the last day." in operator.read(f"/console/endpoints/{quiet}")
    assert operator.get("/console/endpoints/ep_9").status_code == 404


def test_the_landing_page_counts_what_waits(runtime: Runtime, operator: Visitor) -> None:
    """How much, since when, for whom; and which processes have ended."""
    a_delivery(runtime.engine, 1, an_endpoint(runtime.engine), created_at=datetime.now(UTC) - timedelta(hours=2))
    add(
        runtime.engine,
        rows.heartbeats,
        id="worker:gone:9",
        kind="worker",
        host="gone",
        pid=9,
        version="0.1.0",
        started_at=datetime.now(UTC) - timedelta(hours=3),
        seen_at=datetime.now(UTC) - timedelta(minutes=3),
    )
    text = operator.read("/console")
    for words in ("1 message was given up", "2 h", "gone:9", "3 min ago", "has ended, or hangs"):
        assert words in text
    assert "No worker has been heard of" not in text


def test_a_silent_process_is_named_with_its_command(runtime: Runtime, app: OpenAPI, operator: Visitor) -> None:
    """On every page that one may sign in to, those of finance too."""
    with runtime.engine.begin() as connection:
        connection.execute(rows.heartbeats.delete())
    rules = [rule for rule in app.url_map.iter_rules() if not rule.arguments and "GET" in (rule.methods or ())]
    mine = [rule.rule for rule in rules if rule.rule.startswith(("/console", "/finance", "/account"))]
    told = {path: operator.get(path) for path in (*mine, "/console/deliveries/1", "/console/endpoints/ep_1")}
    pages = {path: one.text for path, one in told.items() if (one.status_code, one.mimetype) == (200, "text/html")}
    assert len(pages) > 15
    for path, text in pages.items():
        assert "No worker has been heard of yet" in text, path
        assert "<code>python -m jobs.clock</code>" in text, path


def test_a_worker_that_is_missed_beside_others_is_named(runtime: Runtime, operator: Visitor) -> None:
    """On every page, though deliveries go on; one that a later worker replaced is not."""
    moment = datetime.now(UTC)
    missed = {"kind": "worker", "host": "other", "version": "0.1.0", "started_at": NOON}
    add(runtime.engine, rows.heartbeats, id="w:2", pid=2, seen_at=moment - timedelta(minutes=5), **missed)
    for path in ("/console", "/finance/orders", "/account"):
        assert "1 worker beside others has not been heard of for 3" in operator.read(path)
    add(runtime.engine, rows.heartbeats, id="w:3", pid=3, seen_at=moment, **missed | {"started_at": moment})
    assert "beside others" not in operator.read("/console")


def test_the_queues_are_shown_with_their_oldest_job(runtime: Runtime, operator: Visitor, redis_url: str) -> None:
    """And that Redis is away, when it is."""
    with Redis.from_url(redis_url) as client:
        client.rpush("rq:queue:work", "job")
        client.hset("rq:job:job", "enqueued_at", (datetime.now(UTC) - timedelta(hours=2)).isoformat())
    text = operator.read("/console")
    assert re.search(r'work</th><td class="n" data-label="Jobs">1</td><td data-label="Oldest">2 h', text), text


def test_refused_requests_are_grouped_with_a_hint(runtime: Runtime, operator: Visitor) -> None:
    """By source and cause; a wrong address in the provider's settings is seen at once."""
    a_stored_callback(runtime.engine, source="crosing", reason="unknown_source", body=signed(runtime))
    a_stored_callback(runtime.engine, reason="malformed", body=b"{")
    text = operator.read("/console/callbacks/rejected")
    for words in (
        "3 requests were refused at the door and are kept.",
        "it verifies today: reprocess it",
        "signed as <strong>crossingpay-v1</strong> with the secret of crossing",
        "no such source",
        "no preset",
    ):
        assert words in text
    assert "it is signed as <strong>crossingpay-v1</strong>" in operator.read("/console/callbacks/1", probe="1")
    claims = a_stored_callback(runtime.engine, reason="forgery", namespace="crossing", orderid="9sh-1")
    for path in ("/console/callbacks", f"/console/callbacks/{claims}"):
        assert 'href="/console/search?q=9sh-1"' in operator.read(path), "nobody vouches for such an order"
    assert "content-type: application/x-www-form-urlencoded" in operator.read(f"/console/callbacks/{claims}")


def test_a_refused_request_is_tried_and_then_reprocessed(runtime: Runtime, operator: Visitor) -> None:
    """Trying changes nothing."""
    tried = operator.post("/console/callbacks/1/reprocess", how="try")
    assert "it would be accepted, or is a repeat" in tried.text
    assert (
        "This would become of the oldest 1: 1 would be accepted"
        in operator.post("/console/callbacks/rejected", how="try").text
    )
    assert "It went through the door again: accepted" in operator.post("/console/callbacks/1/reprocess", how="do").text
    assert operator.post("/console/callbacks/1/reprocess", how="maybe").status_code == 422
    assert operator.post("/console/callbacks/99/reprocess", how="do").status_code == 404


def test_dead_letters_are_counted_before_they_are_sent_again(operator: Visitor) -> None:
    """By service and last answer; the count and the replay go by the same words."""
    text = operator.read("/console/dead")
    assert "1 message was given up." in text
    assert "/console/replays/new?only=failed&amp;endpoint=ep_1" in text
    assert "1 delivery would be sent again." in operator.read("/console/replays/new", only="failed", endpoint="ep_1")
    until = operator.read("/console/replays/new", only="failed", until="2026-11-23T14:00+02:00")
    assert "would be sent again" not in until  # it happened a second later
    begun = operator.post("/console/replays", only="failed", endpoint="ep_1")
    assert "Done: 1 delivery was made due." in operator.read(begun.location)
    assert "Nothing was given up." in operator.read("/console/dead")
    assert operator.post(f"{begun.location}/cancel").status_code == 409


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/console/deliveries", {"state": "odd"}),
        ("/console/callbacks", {"verdict": "odd"}),
        ("/console/callbacks", {"source": "a\0b"}),
        ("/console/events", {"orderid": "x" * 501}),
        ("/console/replays/new", {"only": "odd"}),
        ("/console/replays/new", {"since": "monday"}),
        ("/console/endpoints", {"after": "\0"}),
    ],
)
def test_a_query_that_cannot_be_read_is_told_so(operator: Visitor, path: str, query: dict[str, str]) -> None:
    """On a page."""
    refused = operator.get(path, **query)
    assert (refused.status_code, refused.content_type) == (422, "text/html; charset=utf-8")


def test_every_act_is_the_operators_and_is_written_down(runtime: Runtime, operator: Visitor) -> None:
    """One row of the audit for each, under the person's name."""
    for path, fields, _ in ACTS:
        done = operator.post(path, **fields)
        assert done.status_code in (200, 303), (path, done.text)
    assert acts(runtime) == [("user:op", act) for _, _, act in ACTS]


@pytest.mark.parametrize(("role", "reads_door"), [("preparer", False), ("approver", False), ("auditor", True)])
def test_others_read_and_do_not_act(runtime: Runtime, app: OpenAPI, role: str, reads_door: bool) -> None:  # noqa: FBT001  # one of the table's two columns
    """Requests of providers are the operators' and the auditors' to read; nobody else is shown a button."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, role, role))
    for path in PAGES:
        assert 'method="post" action="/console/' not in visitor.read(path), path
    statuses = {visitor.get(path).status_code for path in OPERATORS}
    assert statuses == ({200} if reads_door else {403})
    assert {visitor.post(path, **fields).status_code for path, fields, _ in ACTS} == {403}
    assert acts(runtime) == []


def test_no_page_of_a_stranger_acts(runtime: Runtime, operator: Visitor) -> None:
    """A form that does not come from a page of ours changes nothing."""
    for headers in ({}, {"Origin": "https://evil.example"}):
        statuses = {operator.client.post(path, data=fields, headers=headers).status_code for path, fields, _ in ACTS}
        assert statuses == {403}
    assert acts(runtime) == []


def test_lists_are_read_page_by_page(runtime: Runtime, operator: Visitor) -> None:
    """The next page goes on where this one ended, with the same filters."""
    for sequence in range(2, 55):
        an_event(runtime.engine, sequence)
    first = operator.read("/console/events", type="recharge.succeeded")
    path = first.split('" rel="next"')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
    assert "type=recharge.succeeded" in path
    second = operator.read(f"/console/events{path}")
    assert (first.count("/console/events/evt_"), second.count("/console/events/evt_")) == (50, 4)
    assert 'rel="next"' not in second
