"""The reconciler over HTTP: a break opens, is read with both values, is worked on, and clears; and who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from sqlalchemy import select, update

from relay.bootstrap import Runtime
from relay.store import rows
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.rows import a_break, a_key, a_person, a_provider_fact, a_source_of_the_past, a_stored_order, add
from tests.web.conftest import Caller

BREAKS, RUNS = "/v1/reconciliation/breaks", "/v1/reconciliation/runs"


@pytest.fixture
def preparer(runtime: Runtime, app: OpenAPI) -> Caller:
    """A caller who prepares."""
    return Caller(app.test_client(), a_key(runtime.engine, "preparer"))


@pytest.fixture
def approver(runtime: Runtime, app: OpenAPI) -> Caller:
    """A caller who approves."""
    return Caller(app.test_client(), a_key(runtime.engine, "approver"))


def acts(runtime: Runtime) -> list[str]:
    """What the audit has."""
    with reading(runtime.engine) as connection:
        return list(connection.scalars(select(rows.audit.c.act).order_by(rows.audit.c.sequence)))


def a_lost_callback(runtime: Runtime, orderid: str = "sh-1") -> None:
    """An order that the provider says is paid, and of which no callback came."""
    unpaid = {"state": "created", "credited_micros": 0, "amount_micros": None, "amount_raw": None}
    a_stored_order(runtime.engine, orderid, **unpaid)
    a_provider_fact(runtime.engine, orderid)


def test_a_break_opens_and_clears(runtime: Runtime, preparer: Caller) -> None:
    """Run now, look, let the fact come, run again: the standing, the runs and the break tell the same."""
    assert preparer.get("/v1/reconciliation") == {
        "run": None,
        "open": {},
        "stopped": {"count": 0, "amount": "0.000000"},
    }
    a_lost_callback(runtime)
    done = preparer.post(RUNS)
    assert (done["state"], done["recovered"], done["run"]["kind"]) == ("complete", 0, "incremental")
    standing = preparer.get("/v1/reconciliation")
    assert standing["run"]["manifest"]["open"]["missing_callback"]["count"] == 1
    assert standing["open"]["missing_callback"] == {
        "heading": "owed to users",
        "severity": 1,
        "count": 1,
        "amount": "3.000000",
    }
    (found,) = preparer.get(BREAKS)["data"]
    assert (found["class"], found["orderid"], found["amount"]) == ("missing_callback", "sh-1", "3.000000")
    with writing(runtime.engine) as connection:
        connection.execute(update(rows.provider_facts).values(status="failed", changed_at=datetime.now(UTC)))
    preparer.post(RUNS)
    assert preparer.get(BREAKS)["data"] == []
    assert preparer.get(f"{BREAKS}/{found['id']}")["resolved_by"] == "reconciler"
    listed = preparer.get(RUNS)["data"]
    assert [preparer.get(f"{RUNS}/{one['id']}") for one in listed] == listed
    assert acts(runtime) == ["reconciliation.run"] * 2


def test_a_break_tells_both_values_and_what_to_do(runtime: Runtime, preparer: Caller) -> None:
    """The sides beside each other, the field that differs, the timeline with the acts upon it."""
    a_lost_callback(runtime)
    preparer.post(RUNS)
    (one,) = preparer.get(BREAKS)["data"]
    preparer.post(f"{BREAKS}/{one['id']}/note", {"note": "the provider was asked"})
    found = preparer.get(f"{BREAKS}/{one['id']}")
    assert found["why"] == "No callback came. Provider: succeeded 3.000000. Chain: no final transfer."
    assert found["next_step"].startswith("Wait for the next run where the source recovers.")
    assert [side["name"] for side in found["sides"]] == ["Callback", "Provider", "Chain", "Relay, credited"]
    differing = {one["name"]: one["values"] for one in found["fields"] if one["differs"]}
    assert differing["micros"] == [None, "3.000000", None, "0.000000"]
    (times,) = (one["values"] for one in found["fields"] if one["name"] == "at")
    assert times[1] == found["sides"][1]["at"]
    assert [step["what"] for step in found["timeline"]] == ["created", "provider", "event", "break", "act"]
    assert found["timeline"][-1]["facts"]["note"] == "the provider was asked"


def test_breaks_are_filtered_and_read_a_page_at_a_time(runtime: Runtime, preparer: Caller) -> None:
    """Every filter by its name; what cannot be read is refused by its place."""
    for number in range(3):
        a_break(runtime.engine, f"b{number}", severity=number + 1, amount_micros=number * 1_000_000)
    a_source_of_the_past(runtime.engine, "gone")
    a_stored_order(runtime.engine, "sh-old", namespace="gone", source="gone")
    a_break(runtime.engine, "old", namespace="gone", orderid="sh-old", state="resolved", resolved_at=NOON)
    first = preparer.get(BREAKS, limit=2)
    rest = preparer.get(BREAKS, limit=2, after=first["next"])
    assert [one["id"] for one in first["data"] + rest["data"]] == ["b0", "b1", "b2"]
    assert rest["next"] is None
    for query, count in (
        ({"class": "amount_mismatch"}, 3),
        ({"severity": 2}, 1),
        ({"least": "1", "most": "1.5"}, 1),
        ({"state": "resolved"}, 1),
        ({"owner": "nobody"}, 0),
        ({"chain": "tron"}, 0),
        ({"since": "2099-01-01T00:00:00Z"}, 0),
        ({"q": "sh-unknown"}, 0),
        ({"q": "sh-old"}, 1),
    ):
        assert len(preparer.get(BREAKS, **query)["data"]) == count, query
    for wrong in ({"severity": 9}, {"least": "1e3"}, {"after": "x"}, {"kind": "amount_mismatch"}, {"since": "monday"}):
        assert preparer("GET", BREAKS, query_string=wrong).status_code == 422, wrong


def test_each_act_of_a_preparer_is_audited(runtime: Runtime, preparer: Caller) -> None:
    """Assigned to somebody who is there, noted, accepted; and a closed break is worked on no more."""
    a_person(runtime.engine, "pat", "preparer")
    for break_id in ("b1", "b2"):
        a_break(runtime.engine, break_id)
    assert preparer.post(f"{BREAKS}/b1/assign", {"owner": "Pat"})["owner"] == "pat"
    assert preparer.post(f"{BREAKS}/b1/assign", {"owner": "nobody"}, status=422)["errors"][0]["pointer"] == "/owner"
    assert preparer.post(f"{BREAKS}/b1/accept", {"reason": "a known fee"})["state"] == "resolved"
    assert preparer.post(f"{BREAKS}/b2/resolve", {"reason": "put right"})["note"] == "put right"
    assert preparer.post(f"{BREAKS}/b1/note", {"note": "too late"}, status=409)["code"] == "conflict"
    assert preparer.post(f"{BREAKS}/b9/resolve", {"reason": "no such"}, status=404)["code"] == "not_found"
    assert acts(runtime) == ["break.assign", "break.accept", "break.resolve"]


def test_an_approver_releases_what_a_break_is_about(runtime: Runtime, approver: Caller, preparer: Caller) -> None:
    """A held order ends its hold and its break; what has no order, or is not held, is said so."""
    a_stored_order(runtime.engine, "sh-h", state="held", held_reason="above_limit", credited_micros=0)
    for break_id, orderid in (("b1", "sh-h"), ("b2", None), ("b3", "sh-none")):
        a_break(runtime.engine, break_id, kind="duplicate_conflict", orderid=orderid)
    wish = {"act": "credit", "reason": "the provider confirms it"}
    assert preparer("POST", f"{BREAKS}/b1/release", json=wish).status_code == 403
    assert approver.post(f"{BREAKS}/b2/release", wish, status=409)["code"] == "conflict"
    assert approver.post(f"{BREAKS}/b3/release", wish, status=404)["code"] == "not_found"
    found = approver.post(f"{BREAKS}/b1/release", wish)
    assert (found["state"], found["note"]) == ("resolved", "the provider confirms it")
    assert acts(runtime) == ["order.release"]


def test_what_a_brake_has_stopped_is_credited_or_refused(runtime: Runtime, approver: Caller) -> None:
    """By its break, or by its source: some, or all."""
    for number in (1, 2, 3):
        a_stopped(runtime, f"sh-{number}", number * 1_000_000)
    a_break(runtime.engine, "b1", kind="missing_callback", orderid="sh-1")
    wish: dict[str, Any] = {"act": "credit", "reason": "both witnesses agree"}
    listed = approver.get("/v1/reconciliation/brakes")["data"]
    assert [one["amount"] for one in listed] == ["3.000000", "2.000000", "1.000000"]
    page = approver.get("/v1/reconciliation/brakes", limit=2)
    rest = approver.get("/v1/reconciliation/brakes", limit=2, after=page["next"])
    assert (page["data"] + rest["data"], rest["next"]) == (listed, None)
    assert approver.post(f"{BREAKS}/b1/release", wish | {"act": "reverse"}, status=409)["code"] == "conflict"
    assert approver.post(f"{BREAKS}/b1/release", wish | {"amount": "5"}, status=422)["errors"]
    approver.post(f"{BREAKS}/b1/release", wish)
    path = "/v1/reconciliation/brakes/crossing"
    assert approver.post(f"{path}/release", {"orderids": ["sh-9"], "reason": "all"}, status=422)["errors"]
    assert approver.post(f"{path}/release", {"orderids": ["sh-2"], "reason": "checked"}) == {"count": 1}
    assert approver.post(f"{path}/refuse", {"reason": "not ours"}) == {"count": 1}
    assert approver.get("/v1/reconciliation/brakes")["data"] == []
    assert acts(runtime) == ["recovery.release", "recovery.release", "recovery.refuse"]
    assert approver.get("/v1/orders/crossing/sh-1")["credited"] == "1.000000"


def a_stopped(runtime: Runtime, orderid: str, micros: int) -> None:
    """A payment that waits for a person."""
    a_stored_order(runtime.engine, orderid, state="created", credited_micros=0, registered=True)
    key = {"namespace": "crossing", "orderid": orderid, "source": "crossing", "state": "stopped"}
    add(runtime.engine, rows.recoveries, **key, amount_micros=micros, evidence="{}", found_at=NOON)


def test_a_run_under_way_is_not_doubled(runtime: Runtime, preparer: Caller) -> None:
    """Whoever asks meanwhile is told so, and nothing is audited."""
    later = datetime.now(UTC) + timedelta(minutes=1)
    add(runtime.engine, rows.leases, name="reconcile", owner="another", fence=1, expires_at=later)
    assert preparer.post(RUNS, status=409)["code"] == "conflict"
    assert acts(runtime) == []
