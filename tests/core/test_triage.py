"""Three witnesses of one order are judged together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay.core.breaks import CLASSES, DERIVED
from relay.core.claims import Claim
from relay.core.triage import LONGEST_WAIT_S, Judged, Story, Terms, judge
from relay.core.witnesses import Absence
from tests.builders import NOON

BOTH = Terms(recover="provider+chain", reads_chain=True, unit_micros=100)
LATER = NOON + timedelta(days=1)
TX, OTHER = "0x" + "1" * 64, "0x" + "2" * 64


def a_story(**changes: Any) -> Story:
    """An order that nobody has paid."""
    usual: dict[str, Any] = {"namespace": "crossing", "orderid": "sh-1", "source": "crossing", "state": "created"}
    return Story(**usual | {"created_at": NOON} | changes)


PROVIDER = {"provider_status": "succeeded", "provider_micros": 3_000_000, "provider_at": NOON, "asked_at": NOON}
CHAIN = {
    "final_micros": 3_000_000,
    "final_count": 1,
    "paid_at": NOON,
    "settled_at": NOON,
    "first_tx": TX,
    "last_tx": TX,
}
CALLBACK = {"told_micros": 3_000_000, "told_at": NOON, "state": "succeeded", "credited_micros": 3_000_000}
UNSEEN: dict[str, Any] = {"chain": "tron", "address": "0xaa"}
NO_CLAIM: dict[str, Any] = {"claim": None}
# What opens each class, and what ends it.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "missing_callback": (PROVIDER | CHAIN, CALLBACK),
    "paid_unannounced": (CHAIN, CALLBACK | PROVIDER),
    "callback_unconfirmed": (CALLBACK | {"provider_status": "pending", "asked_at": LATER}, PROVIDER),
    "status_conflict": (CALLBACK | {"provider_status": "failed", "provider_at": NOON}, PROVIDER),
    "phantom_credit": (CALLBACK | UNSEEN | {"absence": Absence(agree=2, first_block=1, last_block=9)}, CHAIN),
    "amount_mismatch": (CALLBACK | PROVIDER | {"provider_micros": 2_000_000}, {"provider_micros": 3_000_000}),
    "underpaid": (CALLBACK | CHAIN | {"final_micros": 2_000_000}, {"final_micros": 3_000_000}),
    "overpaid": (CALLBACK | CHAIN | {"final_micros": 4_000_000}, {"told_micros": 4_000_000}),
    "late_payment": (CHAIN | {"expires_at": NOON - timedelta(hours=1), "state": "expired"}, CALLBACK),
    "tx_mismatch": (CALLBACK | PROVIDER | CHAIN | {"provider_tx": OTHER}, {"provider_tx": TX.upper()}),
    "delivery_gap": (CALLBACK | {"untold_since": NOON}, {"untold_since": None}),
    "rejected_callback_paid": (PROVIDER | {"refused": 2, "refused_reason": "bad_signature"}, CALLBACK),
    "double_claim": (CALLBACK | {"claim": Claim(tx_hash=TX, chains=("tron",), orders=("sh-2",))}, NO_CLAIM),
    "asset_or_network_mismatch": (
        CALLBACK | {"chain": "tron", "claim": Claim(tx_hash=TX, chains=("bsc",))},
        {"claim": Claim(tx_hash=TX, chains=("tron",))},
    ),
    "wrong_token": (CALLBACK | {"claim": Claim(tx_hash=TX, said="foreign", contract="0xbb")}, NO_CLAIM),
    "reverted_tx": (CALLBACK | {"claim": Claim(tx_hash=TX, said="reverted")}, NO_CLAIM),
    "unfinal_credit": (CALLBACK | {"open_count": 1, "paid_at": NOON}, CHAIN | {"open_count": 0}),
    "clock_anomaly": (CALLBACK | {"told_occurred": NOON + timedelta(minutes=11)}, {"told_occurred": NOON}),
}


def kinds(judged: Judged) -> set[str]:
    return {one.kind for one in judged.breaks}


def test_every_class_that_a_run_finds_has_a_case() -> None:
    """A class without a case is a promise that nobody has tried."""
    assert set(CASES) == DERIVED


@pytest.mark.parametrize("kind", CASES)
def test_a_class_opens_and_clears(kind: str) -> None:
    """What opens it makes a break; what ends it leaves none of its class."""
    opening, ending = CASES[kind]
    broken = judge(a_story(**opening), BOTH, LATER)
    assert kind in kinds(broken)
    assert broken.verdict == "break"
    assert kind not in kinds(judge(a_story(**opening | ending), BOTH, LATER))


@pytest.mark.parametrize(
    "kind",
    [
        "missing_callback",
        "paid_unannounced",
        "callback_unconfirmed",
        "phantom_credit",
        "underpaid",
        "double_claim",
        "unfinal_credit",
        "rejected_callback_paid",
    ],
)
def test_pending_is_no_break(kind: str) -> None:
    """Before the grace is over the order is pending, and it is known when that changes."""
    soon = judge(a_story(**CASES[kind][0]), BOTH, NOON + timedelta(seconds=1))
    assert (soon.verdict, kinds(soon)) == ("pending", set())
    assert soon.due_at is not None
    assert kind in kinds(judge(a_story(**CASES[kind][0]), BOTH, soon.due_at)) or soon.due_at < LATER


def test_a_quiet_order_is_matched() -> None:
    """Three witnesses that agree, or two where the third is off."""
    agreed = judge(a_story(**CALLBACK | PROVIDER | CHAIN), BOTH, LATER)
    assert (agreed.verdict, agreed.breaks, agreed.due_at, agreed.drift_micros) == ("matched", (), None, 0)
    assert judge(a_story(**CALLBACK), Terms(), LATER).verdict == "matched"
    assert judge(a_story(), BOTH, LATER).verdict == "unpaid"


def test_flags_are_independent() -> None:
    """Late, over and in parts, all at once."""
    story = a_story(
        **CALLBACK | CHAIN | {"expires_at": NOON - timedelta(hours=1), "final_micros": 4_000_000, "final_count": 2}
    )
    assert judge(story, BOTH, LATER).flags == {"late", "over", "split"}


@pytest.mark.parametrize(
    ("recover", "facts", "micros"),
    [
        ("off", PROVIDER | CHAIN, None),
        ("provider", PROVIDER, 3_000_000),
        ("provider+chain", PROVIDER, None),
        ("provider+chain", PROVIDER | CHAIN, 3_000_000),
        ("provider+chain", PROVIDER | CHAIN | {"final_micros": 2_000_000}, None),
        ("chain", CHAIN, None),
        ("chain", CHAIN | {"registered": True}, 3_000_000),
        ("chain", CHAIN | {"registered": True, "final_micros": 3_000_055}, 3_000_000),
        ("chain", CHAIN | {"registered": True, "expires_at": NOON - timedelta(seconds=1)}, None),
        ("provider+chain", PROVIDER | CHAIN | CALLBACK, None),
        ("provider+chain", PROVIDER | {"open_count": 1}, None),
    ],
)
def test_only_what_recover_asks_for_is_recovered(recover: str, facts: dict[str, Any], micros: int | None) -> None:
    """Witnesses that are asked must agree, and what is credited is whole units of the source."""
    wish = judge(a_story(**facts), replace(BOTH, recover=recover), LATER).wish
    assert (None if wish is None else wish.micros) == micros


def test_a_recovery_waits_less_than_the_promise() -> None:
    """With a run each minute two minutes are kept, whatever the grace."""
    found = judge(a_story(**PROVIDER | CHAIN), replace(BOTH, grace_s=3600), NOON)
    assert found.due_at == NOON + timedelta(seconds=LONGEST_WAIT_S)


@pytest.mark.parametrize("terms", [replace(BOTH, live_from=NOON + timedelta(seconds=1)), replace(BOTH, credits=False)])
def test_what_others_credited_is_only_observed(terms: Terms) -> None:
    """What is older than `live_from`, or of an observed source, is reported and never recovered."""
    judged = judge(a_story(**PROVIDER | CHAIN), terms, LATER)
    assert (judged.verdict, judged.breaks, judged.wish) == ("observed", (), None)


def test_a_judgement_depends_on_nothing_else() -> None:
    """The same story, terms and moment give the same judgement."""
    story = a_story(**PROVIDER | CHAIN)
    assert judge(story, BOTH, LATER) == judge(story, BOTH, LATER)


def test_a_class_without_its_input_says_so() -> None:
    """It does not pretend."""
    assert all(bool(one.needs) == (one.by == "needs") for one in CLASSES.values())
    assert all("needs input" in one.step for one in CLASSES.values() if one.needs)


def test_what_was_credited_before_a_chain_was_read_is_no_phantom() -> None:
    """Its transfer is older than our history; one that came later would be seen."""
    story = a_story(**CASES["phantom_credit"][0])
    now = NOON + timedelta(days=1)
    late, early = NOON + timedelta(days=-1), NOON
    assert kinds(judge(story, replace(BOTH, reading_since=late), now)) == {"phantom_credit"}
    assert kinds(judge(story, replace(BOTH, reading_since=early), now)) == set()


def test_what_an_outage_of_the_chain_hides_is_no_phantom() -> None:
    """The chain must have been read past the time at which the transfer should stand; until then the order is pending."""
    story = a_story(**CASES["phantom_credit"][0])
    enough = NOON + timedelta(seconds=BOTH.grace_s)
    for hours in (1, 24):
        now = NOON + timedelta(hours=hours)
        short = judge(story, replace(BOTH, read_until=enough - timedelta(seconds=1)), now)
        assert (kinds(short), short.doubts, short.verdict) == (set(), (), "pending")
        assert short.due_at == now + timedelta(minutes=1)
        assert kinds(judge(story, replace(BOTH, read_until=enough), now)) == {"phantom_credit"}


def test_a_credit_without_a_transfer_is_doubted_until_nodes_confirm_it() -> None:
    """It waits for them, not for time, and says how many they were."""
    doubted = judge(a_story(**CALLBACK | UNSEEN), BOTH, LATER)
    assert (doubted.verdict, doubted.breaks, doubted.due_at) == ("pending", (), None)
    assert [one.kind for one in doubted.doubts] == ["phantom_credit"]
    alone = Absence(agree=1, first_block=3, last_block=9)
    (found,) = judge(a_story(**CALLBACK | UNSEEN, absence=alone), BOTH, LATER).breaks
    assert (found.evidence["witnesses"], found.evidence["blocks"]) == ("one witness", "3-9")
