"""An operational event as a sentence and a link: always one line, and nothing that a chat tool acts on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.core.catalogue import CATALOGUE
from relay.core.events import OPERATION_TYPES, operation_body
from relay.core.sentences import text_body

URL = "https://relay.example"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def told(event_type: str, **data: Any) -> str:
    """The text of an event."""
    body = operation_body(event_type, event_id="evt_1", sequence=7, now=NOON, data=data)
    sent = json.loads(text_body(body, URL))
    assert list(sent) == ["text"]
    return str(sent["text"])


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        (
            "delivery.exhausted",
            {
                "delivery_id": 5,
                "endpoint_id": "ep_1",
                "exhausted_event_type": "recharge.held",
                "orderid": "sh-1",
                "last_status": 500,
                "last_error": None,
            },
            "Delivery 5 (recharge.held, order sh-1) to ep_1 is dead: 500 -. https://relay.example/console/deliveries/5",
        ),
        (
            "reconciliation.break.opened",
            {"severity": 1, "class": "missing_callback", "orderid": "sh-1", "namespace": "n", "break_id": "brk_1"},
            "Break of severity 1: missing_callback, order sh-1 of n. https://relay.example/finance/breaks/brk_1",
        ),
        (
            "reconciliation.break.resolved",
            {
                "class": "underpaid",
                "orderid": "sh-1",
                "namespace": "n",
                "break_id": "b",
                "resolved_by": "Ada",
                "reason": "Paid.",
            },
            f"Resolved by Ada: underpaid, order sh-1 of n. Paid. {URL}/finance/breaks/b",
        ),
        (
            "reconciliation.break.resolved",
            {"class": "balance_gap", "orderid": None, "break_id": "b", "resolved_by": "reconciler", "reason": None},
            f"Resolved by reconciler: balance_gap, about no order. {URL}/finance/breaks/b",
        ),
        (
            "reconciliation.report.ready",
            {"day": "2026-11-22", "version": 2},
            "Day 2026-11-22 was approved and sealed (version 2). https://relay.example/finance/2026-11-22",
        ),
        (
            "relay.alert",
            {"reason": "brake_pulled", "source": "crossing", "count": 60, "amount": "7.000000"},
            f"The brake of crossing is pulled: 60 lost payments of 7.000000 USDT together wait for a person. {URL}/finance/breaks",
        ),
        (
            "endpoint.slept",
            {"endpoint_id": "ep_1", "hours": 3, "why": None},
            "endpoint.slept: endpoint_id ep_1, hours 3. https://relay.example/console",
        ),
        (
            "reconciliation.break.slept",
            {"break_id": "brk_1"},
            "reconciliation.break.slept: break_id brk_1. https://relay.example/finance/breaks/brk_1",
        ),
        (
            "reconciliation.slept",
            {"reason": "{0}{x}"},
            "reconciliation.slept: reason {0}{x}. https://relay.example/finance",
        ),
    ],
)
def test_what_people_read(event_type: str, data: dict[str, Any], expected: str) -> None:
    """The words of each type; one that has none of its own tells what it holds."""
    assert told(event_type, **data) == expected


@pytest.mark.parametrize("event_type", OPERATION_TYPES)
def test_every_type_becomes_one_line(event_type: str) -> None:
    """Whatever the catalogue says that it holds; and what it lacks is a question mark, not an error."""
    filled = dict.fromkeys(CATALOGUE[event_type].data, "x")
    for text in (told(event_type, **filled), told(event_type)):
        assert f" {URL}/" in text
        assert text.isprintable()


def test_a_strangers_words_are_only_words() -> None:
    """No mention, no link, no line of their own, and not for ever."""
    nasty = "<!channel> @all [a](http://b) *x*\nhttp"
    text = told("reconciliation.break.opened", orderid=nasty, break_id="../../x?y", **{"class": "x" * 500})
    assert "order ?!channel? ?all ?a??http://b? ?x??http of" in text
    assert text.endswith(f"{URL}/finance/breaks/..%2F..%2Fx%3Fy")
    assert len(text) < 400


def test_every_attempt_says_the_same() -> None:
    """Bytes that follow from the event alone."""
    assert len({text_body('{"type":"relay.test","data":{"endpoint_id":"ep_1"}}', URL) for _ in range(3)}) == 1
