"""Own when witnesses agree: what the provider answers and what the chain shows, beside a callback whose signature held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from relay.core.amounts import format_micros
from relay.core.callbacks import Status
from relay.core.facts import Named, ProviderFact, Transfer
from relay.core.orders import Order
from relay.core.policies import Received, scale_error


class Standing(StrEnum):
    """What the other witnesses say."""

    AGREES = "agrees"
    AWAITED = "awaited"
    OPPOSED = "opposed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one order beside its callbacks.

    `transfers` are those that were matched to it, `named` those of the
    transactions that its witnesses name, its own left out.
    """

    provider: tuple[ProviderFact, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the witnesses say together, and the words of each that does not agree."""

    standing: Standing
    notes: Mapping[str, str]


NOTHING = Facts()
# A signature was verified before anything was judged; where no other witness is asked, all agree.
_BARE = frozenset({"signature"})
_AGREED = Weighed(Standing.AGREES, {})


def weigh(order: Order, found: Received, evidence: frozenset[str], facts: Facts) -> Weighed:
    """Ask each witness that `evidence` names beside the signature whether the order received `found`.

    One that contradicts outweighs those that agree; one that is silent is
    awaited.
    """
    if evidence == _BARE:
        return _AGREED
    asked: dict[str, Callable[[], tuple[Standing, str]]] = {
        "provider": lambda: _by_provider(found, facts.provider),
        "chain": lambda: _by_chain(order, found, facts.transfers),
    }
    answers = {name: asked[name]() for name in sorted(evidence & asked.keys())}
    notes = {name: note for name, (standing, note) in answers.items() if standing is not Standing.AGREES}
    standings = {standing for standing, _ in answers.values()}
    for standing in (Standing.OPPOSED, Standing.AWAITED):
        if standing in standings:
            return Weighed(standing, notes)
    return Weighed(Standing.AGREES, {})


def most_telling(transfers: Iterable[Transfer]) -> Transfer | None:
    """Return the transfer to show of an order that may have several: a final one, and of those the latest."""
    return max(transfers, key=lambda one: (one.is_final, one.block_number, one.log_index), default=None)


def _by_provider(found: Received, facts: tuple[ProviderFact, ...]) -> tuple[Standing, str]:
    """Every answer that names a sum must name this one; a status that can still change is no contradiction yet."""
    said = [_one_answer(found, fact) for fact in facts]
    for standing in (Standing.OPPOSED, Standing.AGREES, Standing.AWAITED):
        for one, note in said:
            if one is standing:
                return one, note
    return Standing.AWAITED, "not asked yet"


def _one_answer(found: Received, fact: ProviderFact) -> tuple[Standing, str]:
    if fact.status is Status.REFUNDED:
        return Standing.OPPOSED, "refunded"
    if fact.status is not Status.SUCCEEDED or fact.amount_micros is None:
        return Standing.AWAITED, fact.raw_status or "no amount"
    if abs(fact.amount_micros - found.micros) < max(fact.unit_micros, found.unit_micros):
        return Standing.AGREES, ""
    return Standing.OPPOSED, _difference(found.micros, fact.amount_micros)


def _by_chain(order: Order, found: Received, transfers: tuple[Transfer, ...]) -> tuple[Standing, str]:
    """The order's final transfers must add up to what was reported; where it has an address, those to it."""
    arrived = sum(
        one.amount_micros
        for one in transfers
        if one.is_final and order.address in (None, one.recipient) and order.chain in (None, one.chain)
    )
    difference = arrived - found.micros
    if abs(difference) < found.unit_micros:
        return Standing.AGREES, ""
    # What is missing may still come; what is too much does not go away.
    standing = Standing.OPPOSED if difference > 0 else Standing.AWAITED
    return standing, _difference(found.micros, arrived)


def _difference(reported: int, shown: int) -> str:
    """Reported first."""
    scale = scale_error(reported, shown)
    return f"{format_micros(reported)} / {format_micros(shown)}" + (f" ({scale})" if scale else "")
