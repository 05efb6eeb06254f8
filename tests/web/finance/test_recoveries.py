"""What was credited without a callback, by the day of the credit: also what never was a break."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.store import rows
from tests.builders import NOON
from tests.rows import a_session, add
from tests.web.conftest import Visitor

EVIDENCE = '{"provider": "succeeded 9.000000"}'


@pytest.fixture
def visitor(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An operator's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "op", "operator"))


def recovered(runtime: Runtime, orderid: str, at: datetime, **columns: object) -> None:
    told = {"namespace": "crossing", "source": "crossing", "evidence": EVIDENCE, "found_at": at, "applied_at": at}
    add(
        runtime.engine,
        rows.recoveries,
        orderid=orderid,
        **{"state": "applied", "amount_micros": 9_000_000} | told | columns,
    )


def test_what_was_recovered_yesterday_needs_no_break(runtime: Runtime, visitor: Visitor) -> None:
    """The saved view leads to the credits of yesterday, whether or not the grace was over; what waits is not there."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    recovered(runtime, "within-grace", yesterday)
    recovered(runtime, "stopped", yesterday, state="stopped", applied_at=None)
    recovered(runtime, "older", yesterday - timedelta(days=3))
    path = visitor.read("/finance/breaks").split('">Recovered yesterday')[0].rsplit('href="', 1)[1]
    text = visitor.read(path.replace("&amp;", "&"))
    assert "1 payment, 9.000000 USDT, was recovered on" in text
    assert "within-grace" in text
    assert "succeeded 9.000000" in text
    listed = text.split("<table")[1]
    assert "stopped" not in listed
    assert "older" not in listed


def test_a_long_list_is_paged_without_a_gap(runtime: Runtime, visitor: Visitor) -> None:
    """Also where many were credited at the same moment."""
    for number in range(53):
        recovered(runtime, f"sh-{number:02d}", NOON)
    span = {"from": "2026-11-23", "to": "2026-11-23"}
    first = visitor.read("/finance/recovered", **span)
    path = first.split('" rel="next"')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
    second = visitor.read(f"/finance/recovered{path}")
    assert [text.count("/finance/orders/crossing/sh-") for text in (first, second)] == [50, 3]
    assert "53 payments, 477.000000 USDT, were recovered on 2026-11-23." in second


def test_a_span_that_cannot_be_read_is_told_so(visitor: Visitor) -> None:
    """As a page."""
    for wrong in ({"from": "monday"}, {"from": "2026-11-24", "to": "2026-11-23"}, {"after": "x"}, {"after": "WzFd"}):
        assert visitor.get("/finance/recovered", **wrong).status_code == 422
    assert "No payments were recovered on 2026-11-20." in visitor.read("/finance/recovered", to="2026-11-20")
