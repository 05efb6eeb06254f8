"""Own what is said of a break or a hold in plain words: how bad it is, what differs with both values, and what to press next."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from relay.core.breaks import CLASSES

SEVERITIES: Mapping[int, str] = {
    1: "money at risk",
    2: "amounts or states disagree",
    3: "follow-up",
    4: "information",
}
# Of each class what differs, from the evidence that the run keeps; a class without a sentence is told name by name.
_SAID: Mapping[str, str] = {
    "missing_callback": "No callback came. Provider: {provider}. Chain: {chain}.",
    "paid_unannounced": "The chain shows {chain}. Callback: {callback}. Provider: {provider}.",
    "callback_unconfirmed": "The callback says {callback}, the provider {provider}.",
    "status_conflict": "Credited are {credited}, and the provider says {provider}.",
    "phantom_credit": "Credited are {credited}, and no transfer came to {address} ({witnesses}).",
    "amount_mismatch": "Amount: the callback says {callback}, the provider {provider}.",
    "underpaid": "Amount: the chain shows {chain}. Callback: {callback}. Provider: {provider}.",
    "overpaid": "Amount: the chain shows {chain}. Callback: {callback}. Provider: {provider}.",
    "late_payment": "Paid at {paid_at}; the order had expired at {expires_at}.",
    "tx_mismatch": "Transaction: the provider names {provider}, the chain shows {chain}.",
    "prior_period_change": "Told at {told_at}, after its day was sealed: {amount} USDT, paid at {occurred_at}.",
    "rejected_callback_paid": "Refused {refused} times ({reason}). Provider: {provider}. Chain: {chain}.",
    "double_claim": "Transaction {tx_hash} is named, and {orders} names it or was paid by it.",
    "asset_or_network_mismatch": "The order is of {order}; transaction {tx_hash} paid on {paid_on}.",
    "wrong_token": "Transaction {tx_hash} moved the token {contract}, which does not count.",
    "reverted_tx": "Transaction {tx_hash} failed.",
    "unfinal_credit": "Paid at {paid_at}, told, and not final yet.",
    "clock_anomaly": "Paid at {told}, we were told at {arrived}.",
    "orphan_transfer": "{amount} USDT came to {recipient}, of {owner}, in {tx_hash}.",
    "ambiguous_match": "{amount} USDT came to {recipient} in {tx_hash}; it fits {orders}.",
    "unexplained_outflow": "{amount} USDT left {sender} for {recipient} in {tx_hash}.",
    "balance_gap": "{address}, blocks {blocks}: {expected} expected, {measured} measured, {gap} apart.",
    "non_transfer_move": "{address}, blocks {blocks}: {expected} expected, {measured} measured; {events}.",
    "delivery_gap": "Deliveries given up: {given_up}; not acknowledged since: {waits_since}.",
    "dust_or_poison": "{transfers} worthless transfers to {recipient}, the latest {tx_hash}.",
}
# Why an order is held, as whoever has to decide asks it.
_HOLDS: Mapping[str, str] = {
    "above_limit": "the amount is above the limit of its source",
    "above_hourly_limit": "its source has credited more than its limit of an hour",
    "below_minimum": "the amount is below the minimum of its source",
    "conflict": "two validly signed callbacks disagree",
    "double_claim": "its money is, or may be, another order's already",
    "discarded": "it was discarded, and was told paid again",
    "evidence_disagrees": "another witness contradicts the callback",
    "evidence_missing": "the evidence that its source asks for did not come",
    "no_expected_amount": "nobody said how much was expected",
    "overpaid": "more came than was expected",
    "partial": "less came than was expected",
    "source_paused": "its source is paused",
    "refund_amount": "the provider refunded another amount than was credited",
    "second_payment": "money came after it was settled",
    "too_old": "the callback is older than its source allows",
    "unknown_order": "nobody registered it",
}
# What a person did, by the act of the audit that says it; a hold ends in one of four ways.
_DECIDED: Mapping[str, str] = {
    "order.release": "ended a hold",
    "order.correct": "corrected a credit",
    "order.take": "took an order in hand",
    "recovery.release": "credited what the brake stopped",
    "recovery.refuse": "refused what the brake stopped",
    "transfer.credit": "credited money without an order",
    "break.resolve": "resolved a break",
    "break.accept": "accepted a break",
    "break.note": "noted at a break",
    "break.assign": "gave a break to somebody",
}
_ENDED: Mapping[str, str] = {
    "credit": "credited a held order",
    "adjust": "adjusted a held order",
    "reverse": "reversed a held order's credit",
    "discard": "discarded a held order",
}
# Names of fields that do not speak for themselves.
_LABELS: Mapping[str, str] = {"amount_raw": "Amount, as it was sent", "user_ref": "User", "tx_hash": "Transaction"}


def why(kind: str, evidence: Mapping[str, object]) -> str:
    """Return what differs, with the values on both sides; "" where nothing was kept."""
    told = {name: str(value) for name, value in evidence.items() if value not in (None, "")}
    sentence = _SAID.get(kind, "")
    if sentence and _names(sentence) <= told.keys():
        return sentence.format_map(told)
    return " ".join(f"{_label(name)}: {_plain(value)}." for name, value in told.items())


def next_step(kind: str | None) -> str:
    """Return what to do about a break, and what to press for it."""
    known = CLASSES.get(kind or "")
    return known.step if known is not None else "Look at both values, then press Resolve or Accept and say why."


def heading(kind: str | None) -> str:
    """Return what a class is about, "" for one of an older release."""
    known = CLASSES.get(kind or "")
    return known.heading.value if known is not None else ""


def severity(kind: str | None) -> int | None:
    """Return how bad a class is, None for one of an older release."""
    known = CLASSES.get(kind or "")
    return known.severity if known is not None else None


def rule(kind: str | None) -> str:
    """Return when a class opens, "" for one of an older release."""
    known = CLASSES.get(kind or "")
    return known.rule if known is not None else ""


def why_held(reason: str | None) -> str:
    """Return why an order is held, as the end of a sentence."""
    return _HOLDS.get(reason or "", (reason or "a person has to look at it").replace("_", " "))


def decided(act: str, detail: Mapping[str, object]) -> str:
    """Return what a person did, in plain words."""
    ended = _ENDED.get(str(detail.get("act"))) if act == "order.release" else None
    return ended or _DECIDED.get(act, act)


def _names(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _plain(value: str) -> str:
    """Two values against each other; a difference of scale as the factor that it is."""
    return value.replace(" / ", " against ").replace("scale_error_x", "apart by a factor of ")
