"""The runs as people look back at them: which, where each stood, what it counted; and what a day's page tells of time."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime, bench_of
from relay.flows.reconcile import reconcile
from relay.store import rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import a_provider_fact, a_session, a_stored_order, add
from tests.store.test_day_facts import stories
from tests.web.conftest import Visitor

DAY = "/finance/2026-11-23"


@pytest.fixture
def visitor(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An auditor's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "eve", "auditor"))


def test_before_the_first_run_that_is_said(visitor: Visitor) -> None:
    """And what is no run is not found."""
    assert "No run has ended yet." in visitor.read("/finance/runs")
    for path in ("/finance/runs/1", "/finance/runs/x", "/finance/runs?day=monday"):
        assert visitor.get(path).status_code == 404


def test_a_run_tells_its_cut_counts_and_manifest(runtime: Runtime, visitor: Visitor) -> None:
    """The list, the run, and the day on which it ended have the same figures."""
    a_stored_order(runtime.engine, "sh-1", state="created", credited_micros=0)
    a_provider_fact(runtime.engine, "sh-1")
    assert reconcile(bench_of(runtime, "me"), now=NOON + timedelta(hours=1)) == "complete"
    with reading(runtime.engine) as connection:
        run = connection.execute(rows.runs.select()).mappings().one()
    text = visitor.read(f"/finance/runs/{run['id']}")
    told = json.loads(run["manifest"])
    assert "is complete. 1 orders judged, 1 breaks opened, 0 cleared." in text
    for words in (run["manifest_hash"], told["orders_sha256"], "missing callback", "3.000000", "Events"):
        assert words in text
    path = f'href="/finance/runs/{run["id"]}"'
    for page in ("/finance/runs", "/finance/runs?day=2026-11-23", DAY):
        assert path in visitor.read(page)
    assert path not in visitor.read("/finance/runs", day="2026-11-22").split("<h1>")[1]
    assert "1 complete, 0 incomplete" in visitor.read(DAY)


def test_a_day_tells_who_straddles_and_when_what_waits_turns(runtime: Runtime, visitor: Visitor) -> None:
    """Both times of each straddler, and for what waits the day and moment at which it becomes a break."""
    stories(runtime.engine)
    state = {"namespace": "crossing", "verdict": "pending", "kinds": "", "flags": "", "changed_at": NOON}
    add(runtime.engine, rows.match_states, orderid="awaits", due_at=NOON + timedelta(days=2), **state)
    text = visitor.read(DAY)
    for words in (
        "Around the cut-off",
        "2 shown, the largest first.",
        ">2026-11-25</td>",
        "2026-11-24 12:00:00 UTC",
        "no day",
    ):
        assert words in text
    assert ">cannot be asked</span>" in text


def test_the_present_month_is_one_click_away(visitor: Visitor) -> None:
    """From every page."""
    assert visitor.get("/finance/month").location.startswith("/finance/2")
