"""What the brakes hold, in two browsers: shown with its evidence, asked for by one, done by the other."""

from __future__ import annotations

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.store import rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import a_session, a_stored_order, add
from tests.web.conftest import Visitor

EVIDENCE = '{"callback": "no callback", "provider": "succeeded 9.000000", "chain": "9.000000 in 1"}'


@pytest.fixture
def pat(runtime: Runtime, app: OpenAPI) -> Visitor:
    """A preparer's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "pat", "preparer"))


@pytest.fixture
def al(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An approver's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "al", "approver"))


def some_stopped(runtime: Runtime, count: int = 12) -> None:
    for number in range(count):
        orderid = f"lost-{number:02d}"
        a_stored_order(runtime.engine, orderid, state="created", credited_micros=0, amount_micros=None)
        told = {"namespace": "crossing", "source": "crossing", "orderid": orderid, "found_at": NOON}
        micros = (number + 1) * 1_000_000
        add(runtime.engine, rows.recoveries, **told, state="stopped", amount_micros=micros, evidence=EVIDENCE)


def act_id(text: str) -> str:
    return text.split("/finance/asked/")[1].split("/", maxsplit=1)[0]


def test_what_a_brake_holds_is_told(runtime: Runtime, pat: Visitor) -> None:
    """Count, total, the ten largest with what speaks for them; without any, that is said."""
    assert "No brake holds anything." in pat.read("/finance/brakes")
    some_stopped(runtime)
    text = pat.read("/finance/brakes")
    assert "Brakes hold 12 payments, 78.000000 USDT" in text
    assert text.count('name="orderid"') == 10
    assert "succeeded 9.000000" in text
    assert "lost-11" in text
    assert "lost-01" not in text


def test_two_persons_release_some_and_refuse_the_rest(runtime: Runtime, pat: Visitor, al: Visitor) -> None:
    """The preparer asks and cannot do it; the approver does."""
    some_stopped(runtime, 3)
    for wrong in ({"which": "some"}, {"which": "odd"}, {"which": "all", "reason": ""}):
        fields = {"act": "release", "reason": "seen"} | wrong
        assert pat.post("/finance/brakes/crossing/ask", **fields).status_code == 422
    asked = {"which": "some", "orderid": "lost-02", "act": "release", "reason": "the chain has it"}
    assert pat.post("/finance/brakes/crossing/ask", **asked).location == "/finance/brakes"
    text = pat.read("/finance/brakes")
    assert "Another person has to do it." in text
    assert pat.post(f"/finance/asked/{act_id(text)}/agree").status_code == 403
    text = al.read("/finance/brakes")
    assert "release 3.000000 USDT, 1 order that the brake of crossing has stopped" in text
    assert al.post(f"/finance/asked/{act_id(text)}/agree").status_code == 303
    assert "Brakes hold 2 payments, 3.000000 USDT" in al.read("/finance/brakes")
    pat.post("/finance/brakes/crossing/ask", which="all", act="refuse", reason="not ours")
    al.post(f"/finance/asked/{act_id(al.read('/finance/brakes'))}/agree")
    assert "No brake holds anything." in al.read("/finance/brakes")
    with reading(runtime.engine) as connection:
        states = sorted(connection.scalars(rows.recoveries.select().with_only_columns(rows.recoveries.c.state)))
    assert states == ["applied", "refused", "refused"]


def test_a_wish_may_be_declined(runtime: Runtime, pat: Visitor, al: Visitor) -> None:
    """Nothing of the money changes; another may be asked for."""
    some_stopped(runtime, 1)
    asked = {"which": "all", "act": "release", "reason": "seen"}
    pat.post("/finance/brakes/crossing/ask", **asked)
    assert al.post(f"/finance/asked/{act_id(al.read('/finance/brakes'))}/decline").status_code == 303
    assert "Brakes hold 1 payment, 1.000000 USDT" in pat.read("/finance/brakes")
    assert pat.post("/finance/brakes/crossing/ask", **asked).status_code == 303
    assert pat.post("/finance/brakes/elsewhere/ask", **asked).status_code == 404
