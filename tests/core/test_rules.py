"""The rules of an order: what a verified callback means, given all that is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay.core.callbacks import Callback, Origin, Status
from relay.core.evidence import Facts
from relay.core.orders import Order, Ruling, Verdict
from relay.core.rules import Moment, end_grace, rule
from tests.builders import NOON, a_callback, a_source, an_order, paying
from tests.core.examples import preset
from tests.core.test_evidence import a_transfer


def judged(
    callback: Callback,
    *,
    order: Order | None = None,
    known: tuple[Callback, ...] = (),
    paused: bool = False,
    **source: Any,
) -> Ruling:
    """Judge a callback of a source with these settings."""
    return rule(callback, a_source(**source), order=order, known=known, at=Moment(now=NOON, paused=paused))


def test_a_first_paid_callback_credits_what_arrived() -> None:
    """The order is born, credited with the received amount, and announced once."""
    ruling = judged(a_callback())
    assert ruling.verdict is Verdict.ACCEPTED
    assert ruling.announce == "recharge.succeeded"
    assert ruling.order is not None
    assert (ruling.order.state, ruling.order.version, ruling.order.credited_micros) == ("succeeded", 1, 3_000_000)


@pytest.mark.parametrize(
    "repeat",
    [
        a_callback(),
        a_callback(signature="BB" * 20, occurred_at=NOON + timedelta(hours=3)),
        a_callback(source="crossing-v2", signature="v2", user_ref=None, tx_hash="0xaa"),
        a_callback(amount_micros=3_000_099, amount_raw="3.000099", source="crossing-v2", signature="v2", unit_micros=1),
    ],
    ids=[
        "the same bytes",
        "signed again with another time",
        "another dialect without the user",
        "apart by less than the coarser unit",
    ],
)
def test_a_callback_that_agrees_is_a_duplicate(repeat: Callback) -> None:
    """Status, amount, user and transaction count; time, signature and dialect do not."""
    ruling = judged(repeat, order=an_order(), known=(a_callback(),))
    assert ruling == Ruling(verdict=Verdict.DUPLICATE)


@pytest.mark.parametrize(
    ("arrived", "field"),
    [
        (paying(4_000_000), "amount_raw"),
        (a_callback(user_ref="2", signature="other"), "user_ref"),
        (a_callback(tx_hash="0xbb", signature="other"), "tx_hash"),
        (paying(3_000_100), "amount_raw"),
    ],
    ids=["amount", "user", "transaction", "one unit"],
)
def test_a_callback_that_disagrees_is_held_and_shown(arrived: Callback, field: str) -> None:
    """Both are validly signed and cannot both be true: hold, open a break that names the field, stop what is unsent."""
    ruling = judged(arrived, order=an_order(), known=(a_callback(tx_hash="0xaa"),))
    assert ruling.verdict is Verdict.CONFLICT
    assert ruling.announce == "recharge.held"
    assert ruling.stops_deliveries
    assert ruling.order is not None
    assert (ruling.order.state, ruling.order.credited_micros) == ("held", 3_000_000)
    assert "conflict" in ruling.order.flags
    assert ruling.finding is not None
    assert field in ruling.finding.evidence


def test_a_second_conflict_announces_nothing_new() -> None:
    """The order is already held; subscribers know."""
    held = an_order(state="held", held_reason="conflict", version=2)
    ruling = judged(paying(5_000_000), order=held, known=(a_callback(), paying(4_000_000)))
    assert (ruling.verdict, ruling.announce) == (Verdict.CONFLICT, None)


@pytest.mark.parametrize(
    "moved",
    [
        {"orderid": "h-1", "user_ref": "1s"},
        {"user_ref": "2"},
        {"amount_micros": 30_000_000, "amount_raw": "300000"},
        {"occurred_at": NOON + timedelta(seconds=1)},
    ],
    ids=["digits moved between fields", "another user", "another amount", "another time"],
)
def test_a_signature_that_was_seen_over_other_fields_is_forged(moved: dict[str, Any]) -> None:
    """A signature that verified once names one set of fields."""
    ruling = judged(a_callback(**moved), known=(a_callback(),))
    assert ruling == Ruling(verdict=Verdict.FORGERY)


def test_the_same_signature_text_of_another_source_is_no_forgery() -> None:
    """Signatures are remembered for each source."""
    assert judged(a_callback(source="other", namespace="other"), known=(a_callback(),)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("settings", "callback", "reason"),
    [
        ({"hold_above_micros": 2_000_000}, a_callback(), "above_limit"),
        ({"unknown_orders": "hold"}, a_callback(), "unknown_order"),
        ({"minimum_micros": 5_000_000}, a_callback(), "below_minimum"),
        ({}, paying(0), "below_minimum"),
        ({"max_age_s": 60}, a_callback(occurred_at=NOON - timedelta(seconds=61)), "too_old"),
        ({"paused": True}, a_callback(), "source_paused"),
    ],
)
def test_what_a_policy_objects_to_is_held_with_its_reason(
    settings: dict[str, Any], callback: Callback, reason: str
) -> None:
    """Held money is announced as held and credits nothing."""
    ruling = judged(callback, **settings)
    assert ruling.order is not None
    assert (ruling.order.state, ruling.order.held_reason, ruling.order.credited_micros) == ("held", reason, 0)
    assert ruling.announce == "recharge.held"


@pytest.mark.parametrize(
    "settings",
    [{"hold_above_micros": 3_000_000}, {"minimum_micros": 3_000_000}, {"max_age_s": 60}],
    ids=["at the limit", "at the minimum", "young enough"],
)
def test_a_bound_itself_is_within(settings: dict[str, Any]) -> None:
    """Limits are inclusive."""
    assert judged(a_callback(), **settings).announce == "recharge.succeeded"


@pytest.mark.parametrize(
    "settings",
    [{"mode": "observe"}, {"live_from": NOON + timedelta(seconds=1)}],
    ids=["observe", "older than live_from"],
)
def test_what_is_only_observed_never_credits_and_announces_nothing(settings: dict[str, Any]) -> None:
    """Whoever ran before us has credited it; the order is kept so that it can be matched."""
    ruling = judged(a_callback(), **settings)
    assert ruling.announce is None
    assert ruling.order is not None
    assert (ruling.order.state, ruling.order.credited_micros, ruling.order.flags) == (
        "succeeded",
        0,
        frozenset({"observed"}),
    )


def test_an_observed_order_is_not_credited_when_it_is_called_back_again_under_another_name() -> None:
    """The credit of an observed order was used up elsewhere."""
    observed = an_order(credited_micros=0, flags=frozenset({"observed"}))
    assert judged(a_callback(signature="new"), order=observed).announce is None


@pytest.mark.parametrize(
    ("before", "status", "announce"),
    [
        (None, Status.PENDING, "recharge.pending"),
        (None, Status.FAILED, "recharge.failed"),
        (None, Status.EXPIRED, "recharge.expired"),
        ("created", Status.PENDING, "recharge.pending"),
        ("pending", Status.FAILED, "recharge.failed"),
        ("pending", Status.SUCCEEDED, "recharge.succeeded"),
        ("failed", Status.SUCCEEDED, "recharge.succeeded"),
        ("expired", Status.SUCCEEDED, "recharge.succeeded"),
        ("succeeded", Status.PENDING, None),
        ("failed", Status.PENDING, None),
        ("expired", Status.FAILED, None),
        ("held", Status.SUCCEEDED, None),
        ("held", Status.FAILED, None),
    ],
)
def test_events_are_born_of_changes_of_state(before: str | None, status: Status, announce: str | None) -> None:
    """Non-final words never use up the credit, and a late word about an earlier state changes nothing."""
    order = (
        None if before is None else an_order(state=before, credited_micros=0 if before != "succeeded" else 3_000_000)
    )
    ruling = judged(a_callback(status=status), order=order)
    assert ruling.announce == announce
    if announce is not None and order is not None:
        assert ruling.order is not None
        assert ruling.order.version == order.version + 1


def test_a_payment_after_expiry_is_flagged_late() -> None:
    """Late is a flag beside the state, not a state."""
    ruling = judged(a_callback(), order=an_order(state="expired", credited_micros=0))
    assert ruling.order is not None
    assert "late" in ruling.order.flags


def test_a_failure_reported_after_the_credit_keeps_the_state_and_opens_a_break() -> None:
    """A credit never goes back without an event of its own; a person looks."""
    ruling = judged(a_callback(status=Status.FAILED, signature="f"), order=an_order(), known=(a_callback(),))
    assert (ruling.verdict, ruling.order, ruling.announce) == (Verdict.ACCEPTED, None, None)
    assert ruling.finding is not None
    assert ruling.finding.kind == "status_regression"


def test_a_recovered_callback_is_flagged() -> None:
    """The board and finance tell recovered credits from called-back ones."""
    ruling = judged(a_callback(origin=Origin.RECONCILER))
    assert ruling.order is not None
    assert "recovered" in ruling.order.flags


def test_a_break_has_one_id_for_one_kind_and_order() -> None:
    """Whoever finds it and whenever, it opens once."""
    first = judged(paying(4_000_000), order=an_order(), known=(a_callback(),)).finding
    again = judged(paying(7_000_000), order=an_order(), known=(a_callback(),)).finding
    assert first is not None
    assert again is not None
    assert first.id == again.id


INCREMENTS = replace(preset(), amount_counts="increment")


def payment(micros: int, tx: str, **changes: Any) -> Callback:
    """One of several payments."""
    return paying(micros, tx_hash=tx, part=tx, **changes)


def test_a_registered_order_belongs_to_its_user() -> None:
    """Another user in a valid callback is a conflict, whoever spoke first."""
    ruling = judged(a_callback(user_ref="2"), order=an_order(state="created", credited_micros=0, registered=True))
    assert (ruling.verdict, ruling.announce) == (Verdict.CONFLICT, "recharge.held")
    assert ruling.finding is not None
    assert ruling.finding.evidence == {"user_ref": "1 / 2"}


def test_a_callback_may_overtake_the_answer_to_our_own_request() -> None:
    """An order that is still being made is credited like any other."""
    assert judged(a_callback(), order=an_order(state="creating", credited_micros=0)).announce == "recharge.succeeded"


def test_a_status_that_nobody_mapped_is_kept_and_shown_and_moves_nothing() -> None:
    """The order is there, without an event of its own; the break names the word, once."""
    unmapped = a_callback(status=Status.UNKNOWN, raw_status="on ice", part="on ice", signature="u")
    ruling = judged(unmapped)
    assert (ruling.order and (ruling.order.state, ruling.order.version), ruling.announce) == (("created", 1), None)
    assert ruling.finding is not None
    assert (ruling.finding.kind, ruling.finding.evidence) == ("unknown_status", {"status": "on ice"})
    again = replace(unmapped, signature="v", amount_micros=1, amount_raw="x")
    assert judged(again, order=ruling.order, known=(unmapped,)).verdict is Verdict.DUPLICATE
    assert judged(a_callback(), order=ruling.order, known=(unmapped,)).announce == "recharge.succeeded"


def test_what_is_pending_may_grow() -> None:
    """Only words about money that arrived can contradict each other."""
    first = paying(0, status=Status.PENDING, part="0")
    ruling = judged(
        paying(3_000_000, status=Status.PENDING, part="30000"), order=an_order(state="pending"), known=(first,)
    )
    assert ruling == Ruling()


def test_payments_add_up_to_what_was_expected() -> None:
    """Part of it is shown as pending; with the rest it is one credit of the sum."""
    settings: dict[str, Any] = {"amount_policy": "accumulate", "adapter": INCREMENTS}
    opened = an_order(state="created", credited_micros=0, amount_micros=None, expected_micros=3_000_000)
    first = payment(1_000_000, "0xa")
    partial = judged(first, order=opened, **settings)
    assert partial.order is not None
    assert (partial.announce, *partial.order.flags) == ("recharge.pending", "partial")
    whole = judged(payment(2_000_000, "0xb"), order=partial.order, known=(first,), **settings)
    assert whole.order is not None
    assert (whole.announce, whole.order.credited_micros, *whole.order.flags) == ("recharge.succeeded", 3_000_000)
    more = judged(payment(500_000, "0xc"), order=whole.order, known=(first, payment(2_000_000, "0xb")), **settings)
    assert more.order is not None
    assert (more.announce, more.order.held_reason, more.order.credited_micros) == (
        "recharge.held",
        "second_payment",
        3_000_000,
    )
    assert more.finding is not None
    assert not more.stops_deliveries


@pytest.mark.parametrize("status", [Status.FAILED, Status.EXPIRED])
def test_money_in_part_is_never_dropped(status: Status) -> None:
    """An order that ends with some of it is held."""
    partial = an_order(
        state="pending",
        credited_micros=0,
        amount_micros=2_000_000,
        expected_micros=3_000_000,
        flags=frozenset({"partial"}),
    )
    ruling = judged(a_callback(status=status, signature="e"), order=partial)
    assert ruling.order is not None
    assert (ruling.announce, ruling.order.held_reason) == ("recharge.held", "partial")


AFTERWARDS = [
    ({"state": "refunded", "credited_micros": 0}, a_callback(), "second_payment"),
    ({"state": "reversed", "credited_micros": 0}, a_callback(), "second_payment"),
    ({"state": "failed", "credited_micros": 0, "held_reason": "discarded"}, a_callback(), "discarded"),
    ({}, paying(1_000_000, status=Status.REFUNDED), "refund_amount"),
    ({"state": "confirming", "credited_micros": 0}, a_callback(status=Status.FAILED), "evidence_disagrees"),
]


@pytest.mark.parametrize(("standing", "callback", "reason"), AFTERWARDS)
def test_what_comes_after_the_end_is_for_a_person(standing: dict[str, Any], callback: Callback, reason: str) -> None:
    """Nothing is credited or taken back by itself once an order was settled."""
    order = an_order(**standing)
    ruling = judged(callback, order=order)
    assert ruling.order is not None
    assert (ruling.announce, ruling.order.held_reason) == ("recharge.held", reason)
    assert ruling.order.credited_micros == order.credited_micros


def test_conflicting_sums_apart_by_a_power_of_ten_are_called_so() -> None:
    """Two sources of one namespace that count in different units are found by their first callbacks."""
    ruling = judged(paying(300_000_000, source="crossing-v2"), order=an_order(), known=(a_callback(),))
    assert ruling.finding is not None
    assert ruling.finding.evidence["scale"] == "scale_error_x100"


def test_a_payment_after_its_time_is_flagged_late() -> None:
    """Also when nobody has called the order expired yet."""
    order = an_order(state="created", credited_micros=0, expires_at=NOON - timedelta(seconds=1))
    ruling = judged(a_callback(), order=order)
    assert ruling.order is not None
    assert "late" in ruling.order.flags


def test_the_end_of_grace_names_those_alone_that_are_missing() -> None:
    """Who agrees to less than a unit of the source has said its word."""
    paid = a_transfer(amount_micros=3_000_050, is_final=True)
    careful = a_source(evidence=frozenset({"signature", "provider", "chain"}))
    awaited = an_order(state="confirming", credited_micros=0)
    at = Moment(now=NOON, facts=Facts(transfers=(paid,)))
    ruling = end_grace(awaited, careful, known=(a_callback(),), at=at)
    assert ruling.finding is not None
    assert ruling.finding.evidence == {"provider": "not asked yet"}
