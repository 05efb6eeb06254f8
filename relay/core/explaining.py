"""Own what is said of a transaction that somebody asks about: one sentence, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from relay.core.amounts import format_micros
from relay.core.chain_addresses import family_of
from relay.core.hashes import show_hash
from relay.core.orders import State


class Case(StrEnum):
    """What is the matter with a transaction; of one that moves several things the first of these counts."""

    HIDDEN = "hidden"
    CREDITED = "credited"
    REVERSED = "reversed"
    HELD = "held"
    OWED = "owed"
    ORPHANED = "orphaned"
    NOT_FINAL = "not_final"
    AMBIGUOUS = "ambiguous"
    DUST = "dust"
    UNMATCHED = "unmatched"
    NOT_READ = "not_read"
    WRONG_TOKEN = "wrong_token"  # noqa: S105  # the name of a case, and no secret
    NO_VALUE = "no_value"
    OUTGOING = "outgoing"
    NOT_OUR_ADDRESS = "not_our_address"
    NO_TRANSFER = "no_transfer"
    REVERTED = "reverted"
    PENDING = "pending"
    NODES_SILENT = "nodes_silent"
    CHAIN_OFF = "chain_off"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """An order as far as an explanation speaks of it; `is_hidden` from whoever asks."""

    namespace: str
    orderid: str
    source: str
    state: str
    held_reason: str | None = None
    credited_micros: int = 0
    is_hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A movement of a token. `is_usdt`: of a contract that we count; of others the amount is unknown.

    `role` and `sender_role` are what the address book says of both sides;
    `is_read` tells that a scan found it, `unmatched` why it has no order then.
    """

    is_usdt: bool = True
    amount_micros: int = 0
    rest: int = 0
    role: str | None = None
    sender_role: str | None = None
    is_read: bool = True
    is_orphaned: bool = False
    order: Belonging | None = None
    unmatched: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A transaction on one chain; `state` is mined, reverted or pending."""

    chain: str
    state: str = "mined"
    block_number: int | None = None
    confirmations: int = 0
    is_final: bool = False
    moves: Sequence[Move] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is said: the case, one sentence, the next action, and where and of which order it is."""

    case: Case
    sentence: str
    action: str
    chain: str | None = None
    block_number: int | None = None
    confirmations: int = 0
    order: Belonging | None = None


def facts_of(found: Explanation, tx_hash: str) -> dict[str, Any]:
    """Return an explanation as facts by name, its hash spelled as the chain's people know it."""
    return {"tx_hash": show_hash(tx_hash, family_of(found.chain or "")), **asdict(found)}


def explain(
    sightings: Sequence[Sighting], *, asked: Sequence[str], silent: Sequence[str], named_by: Sequence[Belonging] = ()
) -> Explanation:
    """Explain a transaction by where it was seen.

    `asked` are the chains whose nodes can be asked, `silent` those of them
    that did not answer, `named_by` the orders that were called back with it.
    """
    said = [_of_sighting(one) for one in sightings]
    if said:
        return min(said, key=lambda one: list(Case).index(one.case))
    words = f" {_orders(named_by)} called back with it." if named_by else ""
    if not asked:
        return _nowhere(
            Case.CHAIN_OFF, "No chain is switched on, so nobody can be asked." + words, "Set CHAIN_<NAME>_RPC_URLS."
        )
    if silent:
        sentence = f"The nodes of {', '.join(silent)} do not answer, and no other chain has it."
        return _nowhere(Case.NODES_SILENT, sentence + words, "Ask again later; `doctor` tells what the nodes say.")
    sentence = f"It is not on {', '.join(asked)}."
    action = (
        "Ask the provider for the true hash." if named_by else "Check the hash and the network with whoever sent it."
    )
    return _nowhere(Case.NOT_FOUND, sentence + words, action)


def _nowhere(case: Case, sentence: str, action: str) -> Explanation:
    return Explanation(case=case, sentence=sentence, action=action)


def _of_sighting(seen: Sighting) -> Explanation:
    if seen.state == "reverted":
        return _said(seen, Case.REVERTED, "It failed on the chain: no money moved.", "Ask the sender to pay again.")
    if seen.state == "pending":
        return _said(seen, Case.PENDING, "It waits to be taken into a block.", "Wait; the sender may still replace it.")
    told = [_of_move(move, seen) for move in seen.moves]
    if not told:
        sentence = "It moves no token; a chain's own coin does not count here."
        return _said(seen, Case.NO_TRANSFER, sentence, "Ask the sender what was meant.")
    return min(told, key=lambda one: list(Case).index(one.case))


def _of_move(move: Move, seen: Sighting) -> Explanation:
    if move.order is not None and not move.is_orphaned:
        return _of_order(move, move.order, seen)
    if move.is_orphaned and move.order is not None and move.order.state == State.REVERSED:
        return _of_order(move, move.order, seen)
    if move.is_orphaned:
        sentence = f"Its block was replaced, and with it the {_sum(move)}{_for(move.order)} are gone for now."
        return _said(seen, Case.ORPHANED, sentence, "Wait: usually it is mined again.", move.order)
    if move.role != "deposit":
        return _of_others(move, seen)
    if not move.is_usdt:
        sentence = "It pays one of our addresses in a token that does not count as USDT here."
        return _said(seen, Case.WRONG_TOKEN, sentence, "Credit nothing. Whoever holds the address may send it back.")
    if not move.amount_micros and not move.rest:
        sentence = "It moves nothing: a transfer of zero, as is sent to make a look-alike address familiar."
        return _said(seen, Case.NO_VALUE, sentence, "Ignore it, and copy no address from it.")
    if not move.is_read:
        sentence = f"It pays {_sum(move)} to one of our addresses, and no scan has read it."
        action = "Wait for the next scan. It is never read when it is older than the chain's first block here, or the address's."
        return _said(seen, Case.NOT_READ, sentence, action)
    return _of_nobodys(move, seen)


def _of_nobodys(move: Move, seen: Sighting) -> Explanation:
    """What came to an address of ours and belongs to no order yet."""
    if not move.amount_micros:
        sentence = "It pays less than 0.000001 USDT, which no order can be credited with."
        return _said(seen, Case.DUST, sentence, "Ignore it; the balance counts it.")
    if not seen.is_final:
        sentence = (
            f"It pays {_sum(move)} to one of our addresses, with {seen.confirmations} confirmations: not final yet."
        )
        return _said(seen, Case.NOT_FINAL, sentence, "Wait until the chain calls its block final.")
    if move.unmatched == "ambiguous":
        sentence = f"It pays {_sum(move)} to one of our addresses, and more than one order or payment fits."
        return _said(
            seen, Case.AMBIGUOUS, sentence, "Ask the payer for the order; a callback that names the hash decides."
        )
    sentence = f"It pays {_sum(move)} to one of our addresses, and no order fits."
    action = "Find whose it is: register the order with its address, or ask the provider to call back with the hash."
    return _said(seen, Case.UNMATCHED, sentence, action)


def _of_others(move: Move, seen: Sighting) -> Explanation:
    if move.sender_role is not None:
        to = "where money is collected" if move.role == "collection" else "that is not ours"
        what = f"{_sum(move)} leave" if move.is_usdt else "A token leaves"
        sentence = f"{what} one of our addresses, to one {to}."
        action = "Nothing." if move.role == "collection" else "Find out who sent it, unless it is a known payment."
        return _said(seen, Case.OUTGOING, sentence, action)
    if move.role == "provider":
        sentence = "It pays an address of the provider's, and none of your orders."
        action = "If a user says it is theirs, ask the provider to call back with the hash."
        return _said(seen, Case.NOT_OUR_ADDRESS, sentence, action)
    sentence = "It pays no address of ours."
    action = "Check the address with the payer; if it is yours, enter it with `addresses import`."
    return _said(seen, Case.NOT_OUR_ADDRESS, sentence, action)


def _of_order(move: Move, order: Belonging, seen: Sighting) -> Explanation:
    if order.is_hidden:
        return _said(seen, Case.HIDDEN, "It belongs to an order that you may not see.", "Ask somebody who may.", order)
    paid = f"It pays {_sum(move)} for order {order.orderid}"
    if order.state == State.REVERSED:
        why = " since its block was replaced" if move.is_orphaned else ""
        sentence = f"{paid}, whose credit was taken back{why}."
        return _said(seen, Case.REVERSED, sentence, "See the order's timeline for why.", order)
    if order.state == State.HELD:
        sentence = f"{paid}, which is held ({order.held_reason}) until a person decides."
        return _said(seen, Case.HELD, sentence, "Release the order: credit, adjust, reverse or discard.", order)
    if order.credited_micros:
        sentence = f"{paid}, which is credited with {format_micros(order.credited_micros)} USDT."
        return _said(
            seen, Case.CREDITED, sentence, "Nothing; if the user sees no money, look at the order's deliveries.", order
        )
    if not seen.is_final:
        sentence = f"{paid}, with {seen.confirmations} confirmations: not final yet."
        return _said(seen, Case.NOT_FINAL, sentence, "Wait until the chain calls its block final.", order)
    sentence = f"{paid}, which is {order.state} and not credited."
    return _said(seen, Case.OWED, sentence, "Ask the provider for its callback; it is owed.", order)


def _said(seen: Sighting, case: Case, sentence: str, action: str, order: Belonging | None = None) -> Explanation:
    return Explanation(
        case=case,
        sentence=sentence,
        action=action,
        chain=seen.chain,
        block_number=seen.block_number,
        confirmations=seen.confirmations,
        order=None if order is None or order.is_hidden else order,
    )


def _sum(move: Move) -> str:
    return f"{format_micros(move.amount_micros)} USDT"


def _for(order: Belonging | None) -> str:
    return "" if order is None or order.is_hidden else f" for order {order.orderid}"


def _orders(named_by: Sequence[Belonging]) -> str:
    shown = [one.orderid for one in named_by if not one.is_hidden]
    return f"Order {', '.join(shown)} was" if shown else "An order that you may not see was"
