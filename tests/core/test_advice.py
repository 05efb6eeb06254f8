"""What is said of breaks and holds: what differs with both values, and what to press."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.core import advice, rules
from relay.core.breaks import CLASSES, DERIVED
from relay.core.releases import Act
from relay.flows import day_files

SIDES = {
    "callback": "no callback",
    "provider": "succeeded 3.000000",
    "chain": "3.000000 in 1",
    "credited": "0.000000",
}
OTHER = {
    "phantom_credit": {"address": "TX1", "credited": "3.000000", "chain": "no transfer"},
    "late_payment": {"expires_at": "2026-11-23T12:00:00Z", "paid_at": "2026-11-23T13:00:00Z"},
    "tx_mismatch": {"provider": "0xaa", "chain": "0xbb"},
    "prior_period_change": {
        "amount": "7.000000",
        "occurred_at": "2026-11-23T12:00:00Z",
        "told_at": "2026-11-24T12:00:00Z",
    },
    "delivery_gap": {"given_up": "2", "waits_since": "none"},
}


@pytest.mark.parametrize("kind", sorted({*DERIVED, "prior_period_change"}))
def test_each_class_of_the_run_has_a_sentence_with_its_values(kind: str) -> None:
    """Made of the evidence that is kept; without it nothing is made up."""
    evidence = OTHER.get(kind, SIDES)
    said = advice.why(kind, evidence)
    assert said.endswith(".")
    assert sum(value in said for value in evidence.values()) >= (1 if len(evidence) == 1 else 2)
    assert advice.why(kind, {}) == ""


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"refunded": "3.000000 / 4.000000"}, "Refunded: 3.000000 against 4.000000."),
        (
            {"amount_raw": "30000 / 300000", "scale": "scale_error_x10"},
            "Amount, as it was sent: 30000 against 300000. Scale: apart by a factor of 10.",
        ),
        ({"provider": "not asked yet", "chain": None}, "Provider: not asked yet."),
        ({"a": "{b}", "b": "{a.__class__}"}, "A: {b}. B: {a.__class__}."),
    ],
)
def test_what_has_no_sentence_is_told_name_by_name(evidence: dict[str, str], said: str) -> None:
    """Two values against each other; what is stored is never read as a template."""
    assert advice.why("duplicate_conflict", evidence) == said


def test_every_class_says_what_to_press() -> None:
    """Of one that an older release knew, the two buttons."""
    assert all(advice.next_step(name) and advice.heading(name) and advice.rule(name) for name in CLASSES)
    assert "Accept" in advice.next_step("of_old")
    assert (advice.heading("of_old"), advice.rule(None)) == ("", "")


def test_every_reason_of_a_hold_is_a_sentence() -> None:
    """As the rules write them; another is read as its words."""
    written = set(re.findall(r'return "([a-z_]+)"$', Path(rules.__file__).read_text(), re.MULTILINE))
    assert {"above_limit", "unknown_order"} <= written
    assert all(advice.why_held(reason) != reason.replace("_", " ") for reason in written)
    assert advice.why_held("scale_error_x10") == "scale error x10"
    assert advice.why_held(None) == "a person has to look at it"


def test_each_act_of_a_person_has_plain_words() -> None:
    """The four ends of a hold have words of their own; an act that nobody knows is named as it is."""
    ends = {advice.decided("order.release", {"act": one.value}) for one in Act}
    assert len(ends) == len(Act)
    assert ends.isdisjoint({advice.decided("order.release", {})})
    assert advice.decided("break.assign", {"act": "credit"}) == "gave a break to somebody"
    assert advice.decided("of.tomorrow", {}) == "of.tomorrow"


@pytest.mark.parametrize("act", [*day_files.MONEY, *day_files.DECISIONS])
def test_whatever_an_approver_is_shown_has_words(act: str) -> None:
    """A new act needs them too."""
    assert advice.decided(act, {}) != act
