"""What a Prometheus scrapes, and the alerts that ship with it: no rule asks for what nobody tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask_openapi3 import OpenAPI
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from relay.bootstrap import Runtime
from relay.edge.redis import REPEATS, connect
from relay.ports import Notes
from relay.store import rows
from tests.builders import NOON
from tests.rows import a_break, a_delivery, a_heartbeat, a_stored_callback, a_stored_order, add, an_endpoint, an_event
from tests.web.conftest import ADMIN_KEY, Caller

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"][0]["rules"]


def scraped(app: OpenAPI) -> list[Sample]:
    """Everything that is told, read as a Prometheus reads it."""
    text = Caller(app.test_client(), ADMIN_KEY)("GET", "/metrics").text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def values(app: OpenAPI) -> dict[tuple[str, ...], float]:
    """By name and labels' values, in the order of their names."""
    return {(one.name, *(one.labels[name] for name in sorted(one.labels))): one.value for one in scraped(app)}


@pytest.fixture
def house(runtime: Runtime) -> Runtime:
    """A house in which something of everything is wrong."""
    engine, now = runtime.engine, datetime.now(UTC)
    failing = {"failures_in_row": 12, "failing_since": now - timedelta(minutes=10), "failed_at": now}
    shop, late = an_endpoint(engine, id="ep_shop"), an_endpoint(engine, id="ep_late", **failing)
    an_endpoint(engine, id="ep_off", state="disabled")
    an_event(engine, 1)
    a_delivery(engine, 1, late, created_at=now - timedelta(hours=1))
    a_delivery(engine, 1, shop, state="dead")
    a_stored_callback(engine)
    a_stored_order(engine, "o1", state="held")
    a_break(engine, "brk_1", severity=1)
    for kind in ("worker", "clock"):
        a_heartbeat(engine, kind, now - timedelta(seconds=30))
    run = {"kind": "incremental", "manifest": "{}", "manifest_hash": "", "fence": 1, "finished_at": NOON}
    add(engine, rows.runs, state="incomplete", last_checked=now - timedelta(seconds=200), **run)
    add(engine, rows.chains, name="tron", chain_id=1, head_number=150, scanned_at=now - timedelta(minutes=7))
    add(engine, rows.scan_ranges, chain="tron", first_block=1, last_block=100, last_hash="0x0", scanned_at=now)
    runtime.memory.remember(Notes(new=("a",), repeated=("a", "b"), ring=False))
    return runtime


def test_figures_tell_how_the_house_stands(house: Runtime, app: OpenAPI) -> None:
    """Each as it is at this moment."""
    told = values(app)
    assert told["relay_delivery_backlog", "ep_late"] == 1
    assert told["relay_delivery_oldest_age_seconds", "ep_late"] == pytest.approx(3600, abs=60)
    assert told["relay_endpoint_failing_seconds", "ep_late"] == pytest.approx(600, abs=60)
    assert (told["relay_endpoints_off", "disabled"], told["relay_endpoints_off", "paused"]) == (1, 0)
    assert told["relay_callbacks_total", "bad_signature", "rejected"] == 1
    assert told["relay_callbacks_repeated_total",] == 2
    assert told["relay_orders_undecided", "held"] == 1
    assert told["relay_reconciler_age_seconds",] == pytest.approx(200, abs=60)
    assert told["relay_reconciler_backlog",] >= 1
    assert told["relay_reconciler_incomplete",] == 1
    assert told["relay_chain_lag_blocks", "tron"] == 50
    assert told["relay_chain_age_seconds", "tron"] == pytest.approx(420, abs=60)
    assert (told["relay_redis_up",], told["relay_queue_depth", "work"]) == (1, 0)


def test_without_redis_the_rest_is_told_and_that_it_is_gone(house: Runtime, app: OpenAPI, redis_url: str) -> None:
    """What it remembers begins anew when it is back, as a counter may."""
    client = connect(redis_url, tls_verify=True)
    client.set(REPEATS, "nonsense")
    assert values(app)["relay_callbacks_repeated_total",] == 0
    client.delete("rq:queue:work")
    client.set("rq:queue:work", "no list")
    told = values(app)
    client.delete("rq:queue:work", REPEATS)
    assert (told["relay_redis_up",], told["relay_delivery_backlog", "ep_late"]) == (0, 1)
    assert ("relay_queue_depth", "work") not in told


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_figures_and_labels_that_are_told(rule: dict[str, Any], told_once: dict[str, set[str]]) -> None:
    """Else it would never fire, and nobody would notice."""
    asked = set(re.findall(r"relay_\w+", rule["expr"]))
    assert asked
    assert asked <= told_once.keys()
    labels = set.union(*(told_once[name] for name in asked))
    named = re.findall(r"(\w+)=\"", rule["expr"]) + re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
    assert set(named) <= labels


def test_a_rule_calls_somebody_and_says_where_to_read_on() -> None:
    """By a page of the documentation that is there, at a heading that is there."""
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert anchor == "" or anchor in anchors, rule["alert"]
        assert anchor != "what-to-do-when", "it leads to the runbook itself, not to the list of all"


def test_what_goes_wrong_has_a_runbook() -> None:
    """Under a heading of its own, so that an alert can lead to it."""
    told = (ROOT / "docs/operations.md").read_text().partition("## What to do when")[2].partition("\n## ")[0]
    runbooks = dict(one.split("\n", 1) for one in told.split("\n### ")[1:])
    assert {name for name, text in runbooks.items() if text.strip()} >= {
        "Rotate `SECRET_KEY`",
        "Rotate an endpoint's secret",
        "The provider is down",
        "A chain's nodes are down",
        "Redis is full, flushed or gone",
        "A queue is stuck",
        "A provider changed how it signs",
        "A database was restored from a backup",
    }


def test_every_figure_is_in_the_docs(told_once: dict[str, set[str]]) -> None:
    """A figure that nobody can read about is noise."""
    told = (ROOT / "docs/operations.md").read_text()
    assert [name for name in told_once if f"`{name}`" not in told] == []


@pytest.fixture
def told_once(house: Runtime, app: OpenAPI) -> dict[str, set[str]]:
    """Which labels each figure has."""
    return {one.name: set(one.labels) for one in scraped(app)}
