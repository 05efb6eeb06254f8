"""Breaks and orders as a browser meets them: found, read, worked on; and hostile text stays text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask_openapi3 import OpenAPI
from sqlalchemy import event

from relay.bootstrap import Runtime
from tests.rows import (
    a_break,
    a_heartbeat,
    a_match,
    a_provider_fact,
    a_session,
    a_source_of_the_past,
    a_stored_callback,
    a_stored_order,
    a_stored_transfer,
)
from tests.web.conftest import Visitor

HOSTILE = "<script>alert(1)</script>\u202e=cmd|' /C calc'!A0" + "x" * 5_000


@pytest.fixture
def visitor(runtime: Runtime, app: OpenAPI) -> Visitor:
    """The browser of a person who prepares and approves."""
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    return Visitor(app.test_client(), a_session(runtime.engine, "al", "preparer", "approver"))


def test_breaks_are_filtered_by_the_url(runtime: Runtime, visitor: Visitor) -> None:
    """The sentence and the totals speak of what the filters meet; a query that cannot be read is told so on a page."""
    assert "No break is open." in visitor.read("/finance/breaks")
    a_moment_ago = datetime.now(UTC) - timedelta(minutes=1)
    evidence = '{"status": "callback succeeded, provider failed"}'
    a_break(runtime.engine, "b1", severity=1, evidence=evidence, first_seen=a_moment_ago)
    a_break(runtime.engine, "b2", kind="orphan_transfer", amount_micros=20_000_000, first_seen=a_moment_ago)
    text = visitor.read("/finance/breaks")
    assert "2 breaks open, 21.000000 USDT." in text
    for words in (
        "Status: callback succeeded, provider failed.",
        "P1, money at risk",
        "amounts differ",
        "Ask the provider which amount is true.",
    ):
        assert words in text
    assert "1 break open, 20.000000 USDT." in visitor.read("/finance/breaks", **{"class": "orphan_transfer"})
    a_stored_order(runtime.engine, "sh-b1")
    assert "1 break of what is called “sh-b1”" in visitor.read("/finance/breaks", q="sh-b1")
    assert "0 breaks of what is called “sh-b1”" in visitor.read("/finance/breaks", q="sh-b1", severity="2")
    a_source_of_the_past(runtime.engine, "gone")
    a_stored_order(runtime.engine, "sh-old", namespace="gone", source="gone")
    a_break(runtime.engine, "b0", namespace="gone", orderid="sh-old", state="resolved", resolved_at=a_moment_ago)
    text = visitor.read("/finance/breaks", q="sh-old")
    assert "1 break of what is called “sh-old”" in text
    assert "<option>gone</option>" in text
    a_break(runtime.engine, "b3", first_seen=datetime.now(UTC) - timedelta(hours=2))
    assert "1 break open, 1.000000 USDT." in visitor.read("/finance/breaks", age="1 to 4 h")
    assert "No break is open" in visitor.read("/finance/breaks", age="4 to 24 h")
    assert "No break is open" in visitor.read("/finance/breaks", chain="tron")
    for wrong in (
        {"age": "old"},
        {"severity": "9"},
        {"from": "monday"},
        {"least": "1e9"},
        {"state": "odd"},
        {"after": "x"},
    ):
        assert visitor.get("/finance/breaks", **wrong).status_code == 422


def test_a_long_list_is_paged(runtime: Runtime, visitor: Visitor) -> None:
    """The next page goes on where this one ended."""
    for number in range(53):
        a_break(runtime.engine, f"b{number:02d}")
    first = visitor.read("/finance/breaks")
    assert "53 breaks open" in first
    path = first.split('" rel="next"')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
    second = visitor.read(f"/finance/breaks{path}")
    assert second.count('scope="row"><a href="/finance/breaks/') == 3
    assert 'rel="next"' not in second


def test_a_break_is_worked_on(runtime: Runtime, visitor: Visitor) -> None:
    """Assigned, noted, resolved; each act is on its page."""
    a_break(runtime.engine, "b1")
    for act, fields in (
        ("assign", {"owner": "al"}),
        ("note", {"note": "asked them"}),
        ("resolve", {"reason": "their slip"}),
    ):
        answer = visitor.post(f"/finance/breaks/b1/{act}", **fields)
        assert (answer.status_code, answer.location) == (303, "/finance/breaks/b1")
    text = visitor.read("/finance/breaks/b1")
    for words in ("Amount mismatch, 1.000000 USDT: resolved.", "break.assign", "asked them", "their slip", "user:al"):
        assert words in text
    assert visitor.get("/finance/breaks/b2").status_code == 404
    assert visitor.post("/finance/breaks/b1/note", note="again").status_code == 409


def test_a_difference_that_stays_is_accepted_with_its_reason(runtime: Runtime, visitor: Visitor) -> None:
    """It is closed, and the act says that it was accepted and not put right; the order's page shows both values."""
    a_stored_order(runtime.engine, "sh-b1")
    sides = '{"callback": "3.000000", "provider": "succeeded 4.000000", "chain": "no final transfer"}'
    a_break(runtime.engine, "b1", evidence=sides)
    for path in ("/finance/breaks", "/finance/breaks/b1", "/finance/orders/crossing/sh-b1"):
        text = visitor.read(path)
        assert "Amount: the callback says 3.000000, the provider succeeded 4.000000." in text
        assert "where it is right, press Accept" in text
    assert visitor.post("/finance/breaks/b1/accept", reason=" ").status_code == 422
    assert visitor.post("/finance/breaks/b1/accept", reason="we bear it").location == "/finance/breaks/b1"
    text = visitor.read("/finance/breaks/b1")
    assert "break.accept" in text
    assert "resolved." in text


@pytest.mark.parametrize("held", ["preparer", "approver", "operator", "auditor"])
def test_whoever_may_not_press_a_button_sees_none(runtime: Runtime, app: OpenAPI, held: str) -> None:
    """Only preparers work on breaks and held orders; only they and approvers ask for what moves money."""
    a_stored_order(runtime.engine, "sh-b1", state="held", held_reason="above_limit", credited_micros=0)
    a_break(runtime.engine, "b1")
    person = Visitor(app.test_client(), a_session(runtime.engine, "pat", held))
    worked_on = {f"/finance/breaks/b1/{act}" for act in ("assign", "note", "resolve", "accept")}
    shown = {path for path in worked_on if f'action="{path}"' in person.read("/finance/breaks/b1")}
    assert shown == (worked_on if held == "preparer" else set())
    text = person.read("/finance/orders/crossing/sh-b1")
    assert ("Write it down" in text) is (held == "preparer")
    assert ("End the hold" in text) is (held in ("preparer", "approver"))
    a_stored_order(runtime.engine, "sh-b2")
    text = person.read("/finance/orders/crossing/sh-b2")
    assert ("Correct the credit" in text) is (held in ("preparer", "approver"))


def test_a_credit_that_nobody_holds_is_corrected_by_two(runtime: Runtime, app: OpenAPI, visitor: Visitor) -> None:
    """One says by how much and why, another does it; the page tells who, and the services are told the difference."""
    a_stored_order(runtime.engine, "sh-1", credited_micros=3_000_000)
    path = "/finance/orders/crossing/sh-1"
    for wrong in ("", "0", "-3.1", "half"):
        assert visitor.post(f"{path}/ask", act="adjust", reason="too much", amount=wrong).status_code == 422
    assert visitor.post(f"{path}/ask", act="reverse", reason="too much").status_code == 409
    assert visitor.post(f"{path}/ask", act="adjust", reason="the provider is right", amount="-1").location == path
    text = visitor.read(path)
    assert "Another person has to do it." in text
    assert "Correct the credit" not in text
    agree = f"/finance/asked/{text.split('/finance/asked/')[1].split('/')[0]}/agree"
    assert Visitor(app.test_client(), a_session(runtime.engine, "bo", "approver")).post(agree).status_code == 303
    text = visitor.read(path)
    for words in ("order.correct", "recharge.adjusted", "the provider is right"):
        assert words in text


def test_an_order_shows_its_difference_first(runtime: Runtime, app: OpenAPI, visitor: Visitor) -> None:
    """Then the witnesses, then everything that happened, the acts of people as well."""
    a_stored_order(
        runtime.engine,
        "sh-1",
        state="held",
        held_reason="evidence_disagrees",
        credited_micros=0,
        amount_micros=200_000_000,
    )
    a_stored_callback(
        runtime.engine,
        verdict="accepted",
        reason=None,
        namespace="crossing",
        orderid="sh-1",
        status="succeeded",
        amount_micros=200_000_000,
    )
    tx = a_stored_transfer(runtime.engine, 0xAA, "0x" + "ab" * 20, amount_micros=20_000_000)
    a_match(runtime.engine, tx, "sh-1")
    a_provider_fact(runtime.engine, "sh-1", amount_micros=200_000_000)
    assert visitor.get("/console/search", q=tx.upper()).location == "/finance/orders/crossing/sh-1"
    text = visitor.read("/finance/orders/crossing/sh-1")
    assert "The witnesses are 180.000000 USDT apart: Callback 200.000000, Provider 200.000000, Chain 20.000000." in text
    assert "Held: another witness contradicts the callback. Ask below" in text
    # The chain's own words lead to its explorer, which is not told from where; what the others claim is only text.
    assert text.count('rel="external noreferrer"') == 2
    assert f'<a class="away" href="https://etherscan.io/tx/{tx}" rel="external noreferrer">' in text
    assert text.index("apart") < text.index("What happened") < text.index('<th scope="row">transfer</th>')
    path = "/finance/orders/crossing/sh-1"
    assert visitor.post(f"{path}/ask", act="credit", reason="", amount="20").status_code == 422
    assert visitor.post(f"{path}/ask", act="steal", reason="because").status_code == 422
    assert visitor.post(f"{path}/ask", act="credit", reason="the chain is right", amount="20").location == path
    text = visitor.read(path)
    assert "Another person has to do it." in text
    agree = f"/finance/asked/{text.split('/finance/asked/')[1].split('/')[0]}/agree"
    assert visitor.post(agree).status_code == 409
    second = Visitor(app.test_client(), a_session(runtime.engine, "bo", "approver"))
    assert agree.split("/")[3] in second.read("/finance/brakes")
    assert second.post(agree).status_code == 303
    text = visitor.read("/finance/orders/crossing/sh-1")
    assert "the chain is right" in text
    assert "order.release" in text
    assert "recharge.succeeded" in text


def test_an_order_without_witnesses_says_which_are_missing(runtime: Runtime, visitor: Visitor) -> None:
    """Absent is not zero."""
    a_stored_order(runtime.engine, "sh-2", state="created", credited_micros=0, amount_micros=None)
    text = visitor.read("/finance/orders/crossing/sh-2")
    for words in (
        "No witness names an amount.",
        "none that verified has come",
        "cannot be asked, and no statement has it",
    ):
        assert words in text


def test_orders_are_listed_by_state(runtime: Runtime, visitor: Visitor) -> None:
    """Held money is one view."""
    a_stored_order(runtime.engine, "sh-1", state="held", held_reason="above_limit", credited_micros=0)
    a_stored_order(runtime.engine, "sh-2")
    text = visitor.read("/finance/orders", state="held")
    assert "sh-1" in text
    assert "sh-2" not in text
    assert visitor.get("/finance/orders", state="odd").status_code == 422


def test_hostile_text_stays_text(runtime: Runtime, visitor: Visitor) -> None:
    """In every field that a stranger can fill."""
    engine = runtime.engine
    a_stored_order(
        engine, HOSTILE, user_ref=HOSTILE, state="held", held_reason="x", provider_order_id=HOSTILE, credited_micros=0
    )
    a_stored_callback(
        engine,
        verdict="accepted",
        namespace="crossing",
        orderid=HOSTILE,
        status="succeeded",
        user_ref=HOSTILE,
        tx_hash=HOSTILE,
    )
    a_provider_fact(engine, HOSTILE, raw_status=HOSTILE, status=None)
    a_break(engine, "b1", orderid=HOSTILE, evidence='{"<b>": "<script>alert(2)</script>"}', note=HOSTILE)
    for path in ("/finance/breaks", "/finance/breaks/b1", "/finance/orders"):
        text = visitor.read(path)
        assert "<script>" not in text
        assert "<b>" not in text
    (link,) = [part.split('"')[0] for part in visitor.read("/finance/orders").split('class="id" href="')[1:]]
    assert "<script>" not in visitor.read(link)


def test_pages_ask_a_constant_number_of_questions(runtime: Runtime, visitor: Visitor) -> None:
    """However many breaks there are."""
    asked: list[str] = []
    event.listen(runtime.engine, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement))
    counts = []
    for number in range(3):
        a_break(runtime.engine, f"b{number}")
        asked.clear()
        visitor.read("/finance/breaks")
        counts.append(sum(statement.startswith("SELECT") for statement in asked))
    assert counts == [counts[0]] * 3
    assert counts[0] <= 7
