"""What is said of a transaction, case by case: one sentence, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.explaining import Belonging, Case, Move, Sighting, explain


def an_order(**changes: Any) -> Belonging:
    """An order that is not paid as far as we know."""
    usual: dict[str, Any] = {"namespace": "crossing", "orderid": "sh-1", "source": "crossing", "state": "created"}
    return Belonging(**(usual | changes))


def ours(**changes: Any) -> Move:
    """A final payment of 3 USDT to an address where users pay to, as a scan found it."""
    usual: dict[str, Any] = {"amount_micros": 3_000_000, "role": "deposit"}
    return Move(**(usual | changes))


def seen(*moves: Move, **changes: Any) -> Sighting:
    """A mined and final transaction."""
    usual: dict[str, Any] = {"chain": "tron", "block_number": 7, "confirmations": 20, "is_final": True, "moves": moves}
    return Sighting(**(usual | changes))


FRESH: dict[str, Any] = {"is_final": False, "confirmations": 2}
PAID = an_order(state="succeeded", credited_micros=3_000_000)
CASES = {
    "credited": (seen(ours(order=PAID)), Case.CREDITED, "sh-1, which is credited with 3.000000 USDT"),
    "credited before it is final": (seen(ours(order=PAID), **FRESH), Case.CREDITED, "credited with"),
    "owed": (seen(ours(order=an_order())), Case.OWED, "pays 3.000000 USDT for order sh-1, which is created and not"),
    "owed by one that expired": (seen(ours(order=an_order(state="expired"))), Case.OWED, "which is expired"),
    "awaiting evidence": (seen(ours(order=an_order(state="confirming"))), Case.OWED, "which is confirming"),
    "held": (seen(ours(order=an_order(state="held", held_reason="partial"))), Case.HELD, "is held (partial)"),
    "reversed": (seen(ours(order=an_order(state="reversed"))), Case.REVERSED, "credit was taken back"),
    "of an order, not final": (seen(ours(order=an_order()), **FRESH), Case.NOT_FINAL, "sh-1, with 2 confirmations"),
    "not final": (seen(ours(), **FRESH), Case.NOT_FINAL, "with 2 confirmations: not final yet"),
    "ambiguous": (seen(ours(unmatched="ambiguous")), Case.AMBIGUOUS, "more than one order or payment fits"),
    "nobody's": (seen(ours(unmatched="nobody")), Case.UNMATCHED, "no order fits"),
    "orphaned": (
        seen(ours(is_orphaned=True, order=an_order())),
        Case.ORPHANED,
        "3.000000 USDT for order sh-1 are gone",
    ),
    "orphaned for good": (seen(ours(is_orphaned=True, order=an_order(state="reversed"))), Case.REVERSED, "taken back"),
    "dust": (seen(ours(amount_micros=0, rest=5)), Case.DUST, "less than 0.000001 USDT"),
    "of no value": (seen(ours(amount_micros=0, is_read=False)), Case.NO_VALUE, "a transfer of zero"),
    "not read": (seen(ours(is_read=False)), Case.NOT_READ, "no scan has read it"),
    "a wrong token": (seen(ours(is_usdt=False, is_read=False)), Case.WRONG_TOKEN, "does not count as USDT"),
    "not our address": (seen(ours(role=None)), Case.NOT_OUR_ADDRESS, "no address of ours"),
    "to a provider": (seen(ours(role="provider", unmatched="nobody")), Case.NOT_OUR_ADDRESS, "of the provider's"),
    "collected": (seen(ours(role="collection", sender_role="deposit")), Case.OUTGOING, "where money is collected"),
    "gone elsewhere": (seen(ours(role=None, sender_role="deposit")), Case.OUTGOING, "to one that is not ours"),
    "a chain's own coin": (seen(), Case.NO_TRANSFER, "moves no token"),
    "reverted": (seen(state="reverted"), Case.REVERTED, "no money moved"),
    "pending": (seen(state="pending", block_number=None), Case.PENDING, "waits to be taken into a block"),
    "hidden": (seen(ours(order=an_order(is_hidden=True))), Case.HIDDEN, "an order that you may not see"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_case_has_its_sentence_and_its_action(name: str) -> None:
    """And tells where it is."""
    sighting, case, words = CASES[name]
    found = explain([sighting], asked=["tron"], silent=[])
    assert found.case is case
    assert words in found.sentence
    assert found.sentence.endswith(".")
    assert found.action.endswith(".")
    assert (found.chain, found.block_number) == ("tron", sighting.block_number)


NOWHERE = [
    (["bsc", "tron"], [], (), Case.NOT_FOUND, "It is not on bsc, tron."),
    (["bsc", "tron"], ["bsc"], (), Case.NODES_SILENT, "The nodes of bsc do not answer, and no other chain has it."),
    ([], [], (), Case.CHAIN_OFF, "No chain is switched on, so nobody can be asked."),
    (["tron"], [], (an_order(),), Case.NOT_FOUND, "It is not on tron. Order sh-1 was called back with it."),
    (["tron"], [], (an_order(is_hidden=True),), Case.NOT_FOUND, "It is not on tron. An order that you may not see was"),
]


@pytest.mark.parametrize(("asked", "silent", "named_by", "case", "words"), NOWHERE)
def test_one_that_is_nowhere_is_told_apart_from_one_that_nobody_could_look_for(
    asked: list[str], silent: list[str], named_by: tuple[Belonging, ...], case: Case, words: str
) -> None:
    """And an order that was called back with it is named."""
    found = explain([], asked=asked, silent=silent, named_by=named_by)
    assert found.case is case
    assert found.sentence.startswith(words)


def test_of_several_things_the_one_that_matters_most_is_told() -> None:
    """Whatever their order, and on whichever chain."""
    moves = [ours(role=None), ours(unmatched="nobody"), ours(order=PAID), ours(is_usdt=False)]
    for some in (moves, moves[::-1]):
        assert explain([seen(*some)], asked=["tron"], silent=[]).case is Case.CREDITED
    elsewhere = seen(state="reverted", chain="bsc")
    assert explain([elsewhere, seen(ours(order=PAID))], asked=["tron"], silent=[]).chain == "tron"


def test_a_hidden_order_is_told_to_nobody() -> None:
    """Neither its name nor its state."""
    found = explain([seen(ours(order=an_order(is_hidden=True), is_orphaned=True))], asked=["tron"], silent=[])
    assert found.order is None
    assert "sh-1" not in found.sentence
