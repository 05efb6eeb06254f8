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

    `by` says who finds it: `run` the reconciler where it judges an order,
    `chain` the reconciler where it judges money that is no order's, `intake`
    the judgement of callbacks, `court` who judges reorgs, `close` who looks
    after sealed days, `needs` nobody yet, for the input that `needs` names is
    not there. One that `holds` stops what no subscriber was sent yet, until
    it clears or a person closes it.
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
    holds: bool = False


_ONE, _TWO, _THREE, _FOUR = 1, 2, 3, 4


# What the run does by itself where it says so: stop what was not sent, and tell.
_HOLD = "hold what was not sent yet, alert"


def _run(name: str, heading: Heading, severity: int, *words: str, by: str = "run") -> BreakClass:
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
        by=by,
        holds=action == _HOLD,
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
        _HOLD,
        "callback's amount, provider's word and when it was asked",
        "the provider says paid",
        "Ask the provider. Where it was never paid, take the credit back in your service and press Accept with what was done.",
    ),
    _run(
        "status_conflict",
        Heading.UNBACKED,
        _ONE,
        "credited, and the provider says failed, expired or refunded",
        _HOLD,
        "both words",
        "both agree when the provider is asked again",
        "Ask the provider which is true. Where it was not paid, take the credit back in your service and press Accept.",
    ),
    _run(
        "phantom_credit",
        Heading.UNBACKED,
        _ONE,
        "credited, its address is watched, and no transfer came past finality and grace, as far as the chain was read; "
        "two nodes say so, or the only one",
        _HOLD,
        "address, credited amount, how many nodes confirm it in which blocks",
        "the transfer appears",
        "Look at the address in an explorer. Where no money came, take the credit back in your service and press Accept.",
    ),
    _run(
        "amount_mismatch",
        Heading.DIFFERS,
        _TWO,
        "callback and provider name amounts that differ by a unit or more",
        _HOLD,
        "both amounts",
        "the provider names the same amount",
        "Ask the provider which amount is true. Where the credit is wrong, put it right in your service; press Accept with the reason.",
    ),
    _run(
        "underpaid",
        Heading.DIFFERS,
        _TWO,
        "final transfers are below what was said to be paid, beyond the tolerance, past the grace",
        _HOLD,
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
        "the provider names another transaction than the one or two that paid the order",
        "alert",
        "both transactions",
        "the named transaction is matched",
        "Compare both transactions in an explorer; press Accept where both are the same payment.",
    ),
    _run(
        "delivery_gap",
        Heading.BEHIND,
        _TWO,
        "a service has not acknowledged an event of the order `deliver_within_s` (15 min) after it was to be told, or was given up",
        "alert",
        "how many were given up, since when the others are not acknowledged",
        "they are acknowledged, or the endpoint is deleted",
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
        by="court",
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
    _run(
        "rejected_callback_paid",
        Heading.OWED,
        _TWO,
        "the provider says paid, and every callback of the order was refused",
        "recover where `recover` allows it, else alert",
        "reason of the refusal, number of refused requests, provider's word",
        "the order is credited",
        "See why it was refused under the order's callbacks; where the key was wrong, mend it and reprocess them.",
    ),
    _run(
        "double_claim",
        Heading.UNBACKED,
        _ONE,
        "the order's witnesses name a transaction whose money belongs to other orders; or they name none, and the same sum was "
        "credited to its user without an order in the 25 h before",
        _HOLD,
        "transaction, the orders that name it or were paid by it; or the credit before",
        "another transaction is named, or a final transfer of its own pays the order, which is credited then",
        "Ask the provider which of the orders was paid. Take the other's credit back in your service and press Accept.",
    ),
    _run(
        "asset_or_network_mismatch",
        Heading.UNBACKED,
        _ONE,
        "the transaction that the order's witnesses name paid on another network than the order's",
        _HOLD,
        "transaction, the order's network and that of the money",
        "a transfer on the order's network pays it",
        "The money is there, on another network. Decide whether it counts; press Accept with what was agreed.",
    ),
    _run(
        "wrong_token",
        Heading.UNBACKED,
        _ONE,
        "the transaction that the order's witnesses name moved a token to us which does not count as USDT",
        _HOLD,
        "transaction, contract",
        "another transaction is named",
        "Credit nothing, whatever the token is called. Where it was credited, take it back in your service and press Accept.",
    ),
    _run(
        "reverted_tx",
        Heading.UNBACKED,
        _ONE,
        "the transaction that the order's witnesses name failed: no money moved",
        _HOLD,
        "transaction, receipt",
        "another transaction is named, or money comes",
        "Ask the provider for the transaction that paid. Where there is none, take the credit back in your service and press Accept.",
    ),
    _run(
        "unfinal_credit",
        Heading.UNBACKED,
        _TWO,
        "subscribers were told of the credit, and its transfer is not final long after it should be",
        "alert",
        "transaction, block time",
        "the transfer is final",
        "See under `doctor` why the chain does not go on; a reorg that takes the transfer is told as a reversal.",
    ),
    _run(
        "clock_anomaly",
        Heading.STALE,
        _FOUR,
        "the payment's time, as we were told, lies more than ten minutes after we were told; one before it may be late, and is none",
        "alert",
        "both times",
        "a named person accepts it",
        "Tell the provider that its clock is ahead; press Accept.",
    ),
    _run(
        "orphan_transfer",
        Heading.OWED,
        _TWO,
        "final money at one of our addresses, and no order fits past the grace",
        "propose it as the credit of the address's one owner, alert",
        "address and owner, amount, block",
        "an order takes it, or a person's credit",
        "Where the address has an owner, press Propose: a second person credits it. Else find the order, and register it with its address.",
        by="chain",
    ),
    _run(
        "ambiguous_match",
        Heading.OWED,
        _THREE,
        "final money at one of our addresses, and several orders or payments fit past the grace",
        "alert",
        "the orders that fit",
        "the transaction is named, or all but one are paid or over",
        "Ask the provider which order the transaction paid; its answer or callback that names it decides.",
        by="chain",
    ),
    _run(
        "balance_gap",
        Heading.LEAVING,
        _ONE,
        "between two measured balances of an address, opening plus in minus out is not closing",
        "alert",
        "both balances with their blocks, what came in and went out",
        "the missing transfers are read",
        "Compare the address in an explorer between the two blocks; press Accept with what moved.",
        by="chain",
    ),
    _run(
        "non_transfer_move",
        Heading.LEAVING,
        _ONE,
        "such a gap, and its token reported an event between the two blocks that moves money without a transfer",
        "alert",
        "both balances, the event and its transaction",
        "the missing transfers are read",
        "Ask the token's issuer about the event; press Accept with how the loss is booked.",
        by="chain",
    ),
    _run(
        "unexplained_outflow",
        Heading.LEAVING,
        _ONE,
        "final money left one of our addresses for one that is neither ours nor known",
        "alert",
        "transaction, both addresses, amount",
        "the recipient is entered as collection or external",
        "Find out now who moved it. A payment that you know: enter its recipient with `addresses import`. Else move what is left.",
        by="chain",
    ),
    _run(
        "dust_or_poison",
        Heading.STALE,
        _FOUR,
        "transfers of less than a micro to one of our addresses; those of nothing at all are left out of scans",
        "ignore, count",
        "address, number of transfers, the latest",
        "a named person accepts it",
        "Ignore it, and copy no address from it; press Accept.",
        by="chain",
    ),
    _needs(
        "sweep_short",
        Heading.LEAVING,
        _TWO,
        "a collection whose arrival is missing",
        "collections whose arrival is another transfer than their departure",
    ),
    _needs("fee_variance", Heading.DIFFERS, _THREE, "gross less fee is not net", "the provider's fees"),
    _needs(
        "delivery_duplicate", Heading.BEHIND, _THREE, "acknowledged twice with different results", "answers' meanings"
    ),
)

CLASSES: dict[str, BreakClass] = {one.name: one for one in _CLASSES}
# What the run itself opens and clears of orders, and of money that is no order's; the breaks of others it leaves alone.
DERIVED = frozenset(one.name for one in _CLASSES if one.by == "run")
OF_CHAINS = frozenset(one.name for one in _CLASSES if one.by == "chain")
HOLDING = frozenset(one.name for one in _CLASSES if one.holds)
