"""The page of a day: its sentence, its bridge to zero, what it says of what nobody looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from tests.builders import NOON
from tests.rows import a_credit, a_heartbeat, a_session, a_stored_callback, a_stored_order
from tests.store.test_day_facts import stories
from tests.web.conftest import Visitor


@pytest.fixture
def visitor(runtime: Runtime, app: OpenAPI) -> Visitor:
    """A preparer's browser."""
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    return Visitor(app.test_client(), a_session(runtime.engine, "pat", "preparer"))


def test_an_empty_house_has_a_page_too(visitor: Visitor) -> None:
    """Today, with nothing on it; what is not looked at is named."""
    today = datetime.now(UTC).date().isoformat()
    assert visitor.get("/finance").location == f"/finance/{today}"
    text = visitor.read(f"/finance/{today}")
    assert "Today is not over; so far it agrees." in text
    assert "Crossing: the provider cannot be asked and no statement is configured" in text
    assert "Chain tron not checked: no node is configured." in text


def test_a_day_is_proven_line_by_line(runtime: Runtime, visitor: Visitor) -> None:
    """The bridge's lines, each with a way to its orders, and a difference that is printed though it is zero."""
    stories(runtime.engine)
    assert visitor.get("/finance").location == "/finance/2026-11-23"
    text = visitor.read("/finance/2026-11-23")
    for words in (
        "86.000000",
        "27.000000",
        "Held: a person decides",
        "(20.000000)",
        "Unexplained",
        ">0.000000<",
        "2 of 12 words",
    ):
        assert words in text
    line = visitor.read("/finance/2026-11-23/orders", reason="held")
    assert "Held: a person decides: 1." in line
    assert "above limit" in line
    assert "Every order of the day: 15." in visitor.read("/finance/2026-11-23/orders")


def test_several_sources_and_accounts_are_told_apart(
    runtime: Runtime, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paid and credited of each, which foot to the bridge; with one account there is no such table."""
    second = replace(runtime.sources["crossing"], name="second", namespace="second", appid="other")
    paid = {"verdict": "accepted", "reason": None, "status": "succeeded", "received_at": NOON}
    for number, (namespace, appid) in enumerate((("crossing", "VunT0000h1l8"), ("second", "other")), start=1):
        orderid, micros = f"sh-{number}", 3_000_000 * number
        a_stored_order(runtime.engine, orderid, namespace=namespace, source=namespace, appid=appid)
        a_stored_callback(runtime.engine, namespace=namespace, orderid=orderid, amount_micros=micros, **paid)
        a_credit(runtime.engine, number, orderid, micros, namespace=namespace)
    assert 'aria-label="By account"' not in visitor.read("/finance/2026-11-23")
    monkeypatch.setitem(runtime.sources, "second", second)
    text = visitor.read("/finance/2026-11-23")
    for table, names in (("By source", ("crossing", "second")), ("By account", ("VunT0000h1l8", "other"))):
        told = text.split(f'aria-label="{table}"')[1].split("</table>")[0]
        assert [told.count(words) for words in (*names, "3.000000", "6.000000", "9.000000")] == [1, 1, 2, 2, 2]


def test_a_day_that_is_none_is_not_found(visitor: Visitor) -> None:
    """As a page."""
    for path in ("/finance/monday", "/finance/2026-02-30", "/finance/2026-11-23/orders?reason=odd"):
        answer = visitor.get(path)
        assert (answer.status_code, answer.content_type) == (404, "text/html; charset=utf-8")
