"""Events are sent again: what failed, what was never sent, or all; counted first, and resumed after whatever happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from sqlalchemy import select

from relay.bootstrap import Runtime, now
from relay.flows import replays as flow
from relay.flows.replays import proceed
from relay.store import replays as store
from relay.store import rows
from relay.store.engine import reading
from tests.rows import a_delivery, a_key, an_endpoint, an_event
from tests.web.conftest import Caller


@pytest.fixture
def history(runtime: Runtime) -> Runtime:
    """Four events: delivered, dead, on its way, and one that was never sent; a second endpoint that has none."""
    an_endpoint(runtime.engine, id="ep_shop")
    an_endpoint(runtime.engine, id="ep_new", owner_key_id="key_other")
    for sequence, state in enumerate(("delivered", "dead", "pending"), start=1):
        an_event(runtime.engine, sequence)
        a_delivery(runtime.engine, sequence, "ep_shop", state=state, attempts=2, failures=2)
    an_event(runtime.engine, 4, source="other")
    return runtime


def states(runtime: Runtime, endpoint: str = "ep_shop") -> list[tuple[int, str, int]]:
    """Sequence, state and failures of an endpoint's deliveries."""
    table = rows.deliveries
    query = select(table.c.event_sequence, table.c.state, table.c.failures).where(table.c.endpoint_id == endpoint)
    with reading(runtime.engine) as connection:
        return [tuple(row) for row in connection.execute(query.order_by(table.c.event_sequence))]


@pytest.mark.parametrize(
    ("only", "sent", "after"),
    [
        ("failed", 1, [(1, "delivered", 2), (2, "pending", 0), (3, "pending", 2)]),
        ("missing", 1, [(1, "delivered", 2), (2, "dead", 2), (3, "pending", 2), (4, "pending", 0)]),
        ("all", 3, [(1, "pending", 0), (2, "pending", 0), (3, "pending", 2), (4, "pending", 0)]),
    ],
)
def test_what_is_sent_again_is_counted_first(
    history: Runtime, admin: Caller, only: str, sent: int, after: list[Any]
) -> None:
    """A dry run tells the number and changes nothing; what is on its way already stays as it is."""
    before = states(history)
    path = "/v1/endpoints/ep_shop/replay"
    counted = admin.post(path, {"only": only, "dry_run": True})
    assert (counted["state"], counted["sent"], states(history)) == ("counted", sent, before)
    done = admin.post(path, {"only": only}, status=201)
    assert (done["state"], done["sent"], states(history)) == ("done", sent, after)
    assert states(history, "ep_new") == []
    assert admin.get(f"/v1/replays/{done['id']}") == done
    assert [one["id"] for one in admin.get("/v1/replays")["data"]] == [done["id"]]


@pytest.mark.parametrize(
    ("wishes", "sequences"),
    [
        ({}, [1, 2, 3, 4]),
        ({"source": "other"}, [4]),
        ({"orderid": "sh-2"}, [2]),
        ({"type": "recharge.held"}, []),
        ({"since": "2026-11-23T12:00:03Z"}, [3, 4]),
        ({"until": "2026-11-23T12:00:03Z"}, [1, 2]),
    ],
)
def test_a_new_endpoint_is_filled_from_a_date(
    history: Runtime, admin: Caller, wishes: dict[str, Any], sequences: list[int]
) -> None:
    """Only with what it wants, and each event once, however often one asks."""
    for _ in range(2):
        admin.post("/v1/replays", {"only": "missing", "endpoint": "ep_new", **wishes}, status=201)
    assert [sequence for sequence, _, _ in states(history, "ep_new")] == sequences


def test_a_time_that_ends_before_it_begins_is_refused(history: Runtime, admin: Caller) -> None:
    """Nothing could fit it."""
    wishes = {"since": "2026-11-23T12:00:03Z", "until": "2026-11-23T12:00:03Z"}
    (fault,) = admin.post("/v1/replays", wishes, status=422)["errors"]
    assert fault["pointer"] == "/until"


def test_an_endpoint_is_born_with_a_replay_of_what_it_missed(history: Runtime, app: OpenAPI) -> None:
    """In one act, within what its owner and its filters reach; nothing is stored where the rest is refused."""
    shop = Caller(app.test_client(), a_key(history.engine, "service", sources={"crossing"}))
    wishes = {"url": "https://shop.example/mine", "backfill_from": "2026-11-23T12:00:02Z"}
    assert shop("POST", "/v1/endpoints", json=wishes | {"event_types": ["recharge.won"]}).status_code == 422
    assert shop("POST", "/v1/endpoints", json=wishes | {"backfill_from": "yesterday"}).status_code == 422
    assert shop.get("/v1/replays")["data"] == []
    made = shop.post("/v1/endpoints", wishes, status=201)
    (begun,) = shop.get("/v1/replays")["data"]
    assert (begun["state"], begun["which"], begun["endpoint_id"]) == ("running", "missing", made["id"])
    assert states(history, made["id"]) == []
    proceed(history.engine, history.memory, now=now() + timedelta(seconds=5))
    assert [sequence for sequence, _, _ in states(history, made["id"])] == [2, 3]
    assert shop.get(f"/v1/replays/{begun['id']}")["state"] == "done"


def test_one_event_goes_out_again_under_its_id(history: Runtime, admin: Caller) -> None:
    """The delivery is the same row, so the id and the bytes are."""
    event = admin.get("/v1/events")["data"][0]["id"]
    assert admin.post(f"/v1/events/{event}/replay", {"only": "all"}, status=201)["sent"] == 2
    assert states(history)[0] == (1, "pending", 0)
    admin.post("/v1/events/evt_none/replay", status=404)


def test_a_replay_goes_on_at_its_rate_until_it_is_over_or_ended(history: Runtime, admin: Caller) -> None:
    """One event a second; whoever moves it next finds it where it was left."""
    ring = history.memory
    begun = admin.post("/v1/replays", {"only": "all", "rate": 1}, status=201)
    assert (begun["state"], begun["cursor"]) == ("running", 1)
    proceed(history.engine, ring, now=now() + timedelta(seconds=1.5))
    seen = admin.get(f"/v1/replays/{begun['id']}")
    assert (seen["state"], seen["cursor"]) == ("running", 2)
    other = admin.post("/v1/replays", {"only": "all", "rate": 1}, status=201)
    assert admin.post(f"/v1/replays/{other['id']}/cancel")["state"] == "cancelled"
    admin.post(f"/v1/replays/{other['id']}/cancel", status=409)
    proceed(history.engine, ring, now=now() + timedelta(seconds=60))
    assert admin.get(f"/v1/replays/{begun['id']}")["state"] == "done"
    assert admin.get(f"/v1/replays/{other['id']}")["cursor"] == 1


def test_a_replay_that_few_events_fit_looks_for_them_piece_by_piece(
    history: Runtime, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the feed waits for one piece at a time, and a run takes only so many."""
    monkeypatch.setattr(store, "LOOKED_THROUGH", 1)
    monkeypatch.setattr(flow, "LOOKS", 2)
    wishes = {"only": "missing", "endpoint": "ep_new", "orderid": "sh-4"}
    begun = admin.post("/v1/replays", wishes, status=201)
    assert (begun["state"], begun["cursor"], begun["sent"]) == ("running", 1, 0)
    for later_s, seen in ((5, ("running", 3, 0)), (10, ("done", 4, 1))):
        proceed(history.engine, history.memory, now=now() + timedelta(seconds=later_s))
        told = admin.get(f"/v1/replays/{begun['id']}")
        assert (told["state"], told["cursor"], told["sent"]) == seen


def test_a_key_reaches_its_own(history: Runtime, app: OpenAPI) -> None:
    """Neither another's endpoint, nor a source outside its scope, nor another's replay."""
    client = app.test_client()
    shop, bound = (
        Caller(client, a_key(history.engine, "service", sources=sources)) for sources in (None, {"crossing"})
    )
    shop.post("/v1/endpoints/ep_shop/replay", status=404)
    mine = shop.post("/v1/replays", {"only": "all"}, status=201)
    assert mine["sent"] == 0
    bound.post(f"/v1/replays/{mine['id']}/cancel", status=404)
    assert bound("GET", f"/v1/replays/{mine['id']}").status_code == 404
    made = bound.post("/v1/endpoints", {"url": "https://shop.example/mine"}, status=201)
    assert bound.post(f"/v1/endpoints/{made['id']}/replay", {"only": "missing"}, status=201)["sent"] == 3


def test_what_is_replayed_to_a_paused_endpoint_waits(history: Runtime, admin: Caller) -> None:
    """Enabling sends it."""
    admin.post("/v1/endpoints/ep_shop/pause")
    admin.post("/v1/endpoints/ep_shop/replay", {"only": "all"}, status=201)
    assert {state for _, state, _ in states(history)} == {"paused"}
