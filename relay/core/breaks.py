"""Own the classes of breaks as data: what each means, how bad it is, what happens by itself, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Heading(StrEnum):
    """What a break is about, in the words of whoever has to act."""

    OWED = "owed to users"
    UNBACKED = "credited without backing"
    DIFFERS = "amounts differ"
    LEAVING = "money leaving"
    BEHIND = "services behind"
    STALE = "sources stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakClass:
    """One class. Severity 1 is money at risk, 4 information.

    `by` says who finds it: `run` the reconciler, `intake` the judgement of
    callbacks, `chain` the matching of transfers, `close` who looks after sealed
    days, `needs` nobody yet, for the input that `needs` names is not there.
    """

    name: str
    heading: Heading
    severity: int
    rule: str
    action: str
    evidence: str
    clears: str
    step: str
    by: str = "run"
    needs: str = ""


_ONE, _TWO, _THREE, _FOUR = 1, 2, 3, 4


def _run(name: str, heading: Heading, severity: int, *words: str) -> BreakClass:
    rule, action, evidence, clears, step = words
    return BreakClass(
        name=name,
        heading=heading,
        severity=severity,
        rule=rule,
        action=action,
        evidence=evidence,
        clears=clears,
        step=step,
    )


def _other(name: str, heading: Heading, severity: int, rule: str, *, by: str = "intake", step: str = "") -> BreakClass:
    return BreakClass(
        name=name,
        heading=heading,
        severity=severity,
        rule=rule,
        action="hold" if severity == 1 else "alert",
        evidence="field by field, both values",
        clears="a named person decides",
        step=step
        or "Compare both values and ask the provider. Where the order is held, open it and press Ask for it: credit, adjust, reverse or discard.",
        by=by,
    )


def _needs(name: str, heading: Heading, severity: int, rule: str, needs: str) -> BreakClass:
    return BreakClass(
        name=name,
        heading=heading,
        severity=severity,
        rule=rule,
        action="none",
        evidence="",
        clears="",
        step=f"This class needs input: {needs}.",
        by="needs",
        needs=needs,
    )


_CLASSES = (
    _run(
        "missing_callback",
        Heading.OWED,
        _ONE,
        "the provider says paid, or the transfer is final where `recover` asks the chain alone, and no callback came",
        "recover where `recover` allows it, else alert",
        "provider's word, transfers, time since when both agreed",
        "the order is credited",
        "Wait for the next run where the source recovers. Else ask the provider to send it again; "
        "what a brake has stopped is released under Brakes.",
    ),
    _run(
        "paid_unannounced",
        Heading.OWED,
        _ONE,
        "a final transfer paid the order, and neither a callback nor the provider says so past the grace",
        "ask the provider, alert",
        "transfers, provider's word",
        "the provider says paid, or a callback comes",
        "Send the provider the transaction and ask why the order is not paid; press Note with what it says.",
    ),
    _run(
        "callback_unconfirmed",
        Heading.UNBACKED,
        _ONE,
        "a callback says paid; the provider, asked after it, still says otherwise past the grace",
        "alert",
        "callback's amount, provider's word and when it was asked",
        "the provider says paid",
        "Ask the provider. Where it was never paid, take the credit back in your service and press Accept with what was done.",
    ),
    _run(
        "status_conflict",
        Heading.UNBACKED,
        _ONE,
        "credited, and the provider says failed or expired",
        "alert",
        "both words",
        "both agree when the provider is asked again",
        "Ask the provider which is true. Where it was not paid, take the credit back in your service and press Accept.",
    ),
    _run(
        "phantom_credit",
        Heading.UNBACKED,
        _ONE,
        "credited, its address is watched, and no transfer came past finality and grace",
        "alert",
        "address, credited amount, when it was credited",
        "the transfer appears",
        "Look at the address in an explorer. Where no money came, take the credit back in your service and press Accept.",
    ),
    _run(
        "amount_mismatch",
        Heading.DIFFERS,
        _TWO,
        "callback and provider name amounts that differ by a unit or more",
        "alert",
        "both amounts",
        "the provider names the same amount",
        "Ask the provider which amount is true. Where the credit is wrong, put it right in your service; press Accept with the reason.",
    ),
    _run(
        "underpaid",
        Heading.DIFFERS,
        _TWO,
        "final transfers are below what was said to be paid, beyond the tolerance, past the grace",
        "alert",
        "both sums, number of transfers",
        "the rest arrives",
        "Wait for the rest. Where it does not come, press Accept and say who bears the difference.",
    ),
    _run(
        "overpaid",
        Heading.DIFFERS,
        _THREE,
        "final transfers are above what was said to be paid",
        "alert",
        "both sums, number of transfers",
        "the order is adjusted",
        "Credit the rest or give it back; press Resolve with what was done.",
    ),
    _run(
        "late_payment",
        Heading.DIFFERS,
        _TWO,
        "the first transfer came after the order's expiry, and the order is not credited",
        "alert",
        "expiry, block time",
        "the order is credited",
        "Decide whether it counts: ask the provider to mark it paid, or give it back and press Resolve.",
    ),
    _run(
        "tx_mismatch",
        Heading.DIFFERS,
        _TWO,
        "the provider names another transaction than the one that paid the order",
        "alert",
        "both transactions",
        "the named transaction is matched",
        "Compare both transactions in an explorer; press Accept where both are the same payment.",
    ),
    _run(
        "delivery_gap",
        Heading.BEHIND,
        _TWO,
        "a delivery of the order's events is dead",
        "alert",
        "number of dead deliveries",
        "they are delivered",
        "Mend the service, then replay what failed; the break clears when it is delivered.",
    ),
    _other("duplicate_conflict", Heading.UNBACKED, _ONE, "two validly signed callbacks of one order disagree"),
    _other("evidence_conflict", Heading.UNBACKED, _ONE, "another witness contradicts a callback"),
    _other("evidence_missing", Heading.OWED, _TWO, "the evidence that the source asks for did not come in its grace"),
    _other("second_payment", Heading.OWED, _TWO, "money came after the order was settled"),
    _other("refund_amount", Heading.DIFFERS, _TWO, "the provider refunded another amount than was credited"),
    _other("status_regression", Heading.DIFFERS, _TWO, "a later callback lowers a final state"),
    _other("unknown_status", Heading.STALE, _TWO, "a status word that nobody has mapped", step="Map the word."),
    _other(
        "reorged_out",
        Heading.UNBACKED,
        _ONE,
        "the transfer of a credited order lost its block for good",
        by="chain",
        step="Debit or freeze in your service until the transfer is back; press Resolve when it is settled.",
    ),
    _other(
        "prior_period_change",
        Heading.DIFFERS,
        _TWO,
        "a provider tells of a payment after its day was sealed",
        by="close",
        step="It counts for the day on which it was told. Ask the provider why it came late, then press Accept.",
    ),
    _needs(
        "orphan_transfer",
        Heading.OWED,
        _TWO,
        "money to one of our addresses, no order",
        "unmatched transfers as proposals",
    ),
    _needs(
        "ambiguous_match", Heading.OWED, _THREE, "several orders fit one transfer", "unmatched transfers as proposals"
    ),
    _needs(
        "rejected_callback_paid", Heading.OWED, _TWO, "a refused callback of a paid order", "orders of refused requests"
    ),
    _needs(
        "asset_or_network_mismatch",
        Heading.UNBACKED,
        _ONE,
        "paid in another token or network",
        "the provider's token and network",
    ),
    _needs(
        "wrong_token",
        Heading.UNBACKED,
        _ONE,
        "a claimed transaction of another contract",
        "receipts of claimed transactions",
    ),
    _needs(
        "reverted_tx", Heading.UNBACKED, _ONE, "a claimed transaction that failed", "receipts of claimed transactions"
    ),
    _needs("double_claim", Heading.UNBACKED, _ONE, "two orders name one transfer", "claims that lost a match"),
    _needs(
        "unfinal_credit", Heading.UNBACKED, _TWO, "subscribers told before finality", "depth at the time of sending"
    ),
    _needs("balance_gap", Heading.LEAVING, _ONE, "closing is not opening plus in minus out", "pinned balances"),
    _needs("non_transfer_move", Heading.LEAVING, _ONE, "a gap that a contract event explains", "pinned balances"),
    _needs("unexplained_outflow", Heading.LEAVING, _ONE, "money left an address of ours", "records of collection"),
    _needs("sweep_short", Heading.LEAVING, _TWO, "a collection whose arrival is missing", "records of collection"),
    _needs("fee_variance", Heading.DIFFERS, _THREE, "gross less fee is not net", "the provider's fees"),
    _needs(
        "delivery_duplicate", Heading.BEHIND, _THREE, "acknowledged twice with different results", "answers' meanings"
    ),
    _needs("clock_anomaly", Heading.STALE, _FOUR, "a source's time is far from ours", "a bound for each source"),
    _needs(
        "dust_or_poison", Heading.STALE, _FOUR, "worthless transfers", "transfers of no value, which scans leave out"
    ),
)

CLASSES: dict[str, BreakClass] = {one.name: one for one in _CLASSES}
# What the run itself opens and clears; the breaks of others it leaves alone.
DERIVED = frozenset(one.name for one in _CLASSES if one.by == "run")
