"""The last thirty days as a page: pictures and tables of the same figures; and a month approved in a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime, desk_of
from relay.flows import trend
from tests.rows import a_break, a_credit, a_session, a_stored_order
from tests.store.test_day_facts import called
from tests.web.conftest import Visitor


@pytest.fixture
def al(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An approver's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "al", "approver"))


def test_what_was_not_computed_is_not_zero(runtime: Runtime, al: Visitor) -> None:
    """Three headings in any case; then three pictures, each with its table."""
    moment = datetime.now(UTC)
    a_stored_order(runtime.engine, "sh-1")
    called(runtime.engine, "sh-1", 4_000_000, at=moment)
    a_credit(runtime.engine, 1, "sh-1", 3_000_000, at=moment)
    a_break(runtime.engine, "b1", first_seen=moment - timedelta(hours=2))
    text = al.read("/finance/trend")
    assert "not computed yet" in text
    trend.refresh(runtime.engine, desk_of(runtime).calendar, now=moment)
    text = al.read("/finance/trend")
    assert "1 credits in 1 days, and no callback was lost." in text
    assert "not computed yet" not in text
    assert text.count("<svg") == 2
    for words in ("4.000000", "3.000000", ">1.000000<", "1 to 4 h", "Nothing to draw."):
        assert words in text


def test_a_month_is_approved_on_its_page(al: Visitor) -> None:
    """What stands in the way is said there; what is no month is not found."""
    text = al.read("/finance/2026-11")
    assert "none of its days is sealed" in text
    assert "Approve the month" not in text
    assert al.post("/finance/2026-11/approve-month", manifest="x").status_code == 409
    assert al.post("/finance/monday/approve-month").status_code == 404
    assert al.get("/finance/2026-11/approval.json").status_code == 404
