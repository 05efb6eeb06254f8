"""Evidence: when witnesses agree with a callback, when they are awaited, and when they contradict it."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.callbacks import Status
from relay.core.evidence import NOTHING, Facts, Standing, most_telling, weigh
from relay.core.facts import ProviderFact, Transfer
from relay.core.policies import Received
from tests.builders import NOON, an_order

ADDRESS = "0x" + "a" * 40
BOTH = frozenset({"signature", "provider", "chain"})


def a_fact(**changes: Any) -> ProviderFact:
    """The provider says that 3 USDT were paid."""
    usual: dict[str, Any] = {
        "source": "crossing",
        "namespace": "crossing",
        "orderid": "sh-1",
        "via": "query",
        "status": Status.SUCCEEDED,
        "raw_status": "paid",
        "amount_micros": 3_000_000,
    }
    return ProviderFact(**(usual | changes))


def a_transfer(**changes: Any) -> Transfer:
    """A final transfer of 3 USDT to the order's address."""
    usual: dict[str, Any] = {
        "chain": "tron",
        "tx_hash": "0x1",
        "log_index": 0,
        "block_number": 1,
        "block_hash": "0xb",
        "block_time": NOON,
        "contract": "0xc",
        "sender": "0xd",
        "recipient": ADDRESS,
        "amount_micros": 3_000_000,
        "is_final": True,
    }
    return Transfer(**(usual | changes))


def weighed(evidence: set[str], facts: Facts) -> tuple[Standing, dict[str, str]]:
    """What is said of an order of 3 USDT, known to 0.0001."""
    order = an_order(address=ADDRESS, chain="tron", credited_micros=0)
    found = weigh(order, Received(3_000_000, 100, 1), frozenset(evidence), facts)
    return found.standing, dict(found.notes)


PROVIDER = [
    ((), ("awaited", "not asked yet")),
    ((a_fact(),), ("agrees", None)),
    ((a_fact(amount_micros=3_000_099),), ("agrees", None)),
    ((a_fact(amount_micros=3_000_100),), ("opposed", "3.000000 / 3.000100")),
    ((a_fact(amount_micros=3_900_000, unit_micros=1_000_000),), ("agrees", None)),
    ((a_fact(amount_micros=300),), ("opposed", "3.000000 / 0.000300 (scale_error_x10000)")),
    ((a_fact(amount_micros=None),), ("awaited", "paid")),
    ((a_fact(status=Status.PENDING, raw_status="waiting"),), ("awaited", "waiting")),
    ((a_fact(status=Status.EXPIRED, raw_status="expired"),), ("awaited", "expired")),
    ((a_fact(status=None, raw_status="on ice"),), ("awaited", "on ice")),
    ((a_fact(status=Status.REFUNDED),), ("opposed", "refunded")),
    ((a_fact(), a_fact(source="v2", amount_micros=1)), ("opposed", "3.000000 / 0.000001")),
    ((a_fact(status=Status.PENDING), a_fact(source="v2")), ("agrees", None)),
]


@pytest.mark.parametrize(("facts", "answer"), PROVIDER)
def test_the_provider_is_asked(facts: tuple[ProviderFact, ...], answer: tuple[str, str | None]) -> None:
    """It agrees by status and amount; another sum contradicts, what may still change is awaited."""
    standing, notes = weighed({"signature", "provider"}, Facts(provider=facts))
    assert (standing, notes.get("provider")) == answer


CHAIN = [
    ((), ("awaited", "3.000000 / 0.000000")),
    ((a_transfer(),), ("agrees", None)),
    ((a_transfer(amount_micros=1_000_000), a_transfer(amount_micros=2_000_050, tx_hash="0x2")), ("agrees", None)),
    ((a_transfer(is_final=False),), ("awaited", "3.000000 / 0.000000")),
    ((a_transfer(recipient="0x" + "b" * 40),), ("awaited", "3.000000 / 0.000000")),
    ((a_transfer(chain="bsc"),), ("awaited", "3.000000 / 0.000000")),
    ((a_transfer(amount_micros=4_000_000),), ("opposed", "3.000000 / 4.000000")),
]


@pytest.mark.parametrize(("transfers", "answer"), CHAIN)
def test_the_chain_is_asked(transfers: tuple[Transfer, ...], answer: tuple[str, str | None]) -> None:
    """Final transfers to the order's own address must add up; less may still come, more contradicts."""
    standing, notes = weighed({"signature", "chain"}, Facts(transfers=transfers))
    assert (standing, notes.get("chain")) == answer


def test_an_order_without_an_address_is_believed_by_the_transfers_that_were_matched_to_it() -> None:
    """Whose they are was decided when they were matched."""
    found = weigh(an_order(), Received(3_000_000, 100, 1), frozenset({"chain"}), Facts(transfers=(a_transfer(),)))
    assert (found.standing, found.notes) == (Standing.AGREES, {})
    found = weigh(an_order(), Received(3_000_000, 100, 1), frozenset({"chain"}), NOTHING)
    assert (found.standing, found.notes) == (Standing.AWAITED, {"chain": "3.000000 / 0.000000"})


def test_of_several_transfers_the_last_final_one_is_shown() -> None:
    """One that may still vanish only where there is no other."""
    first, last = a_transfer(block_number=1), a_transfer(block_number=2)
    later = a_transfer(block_number=3, is_final=False)
    assert most_telling([first, later, last]) == last
    assert most_telling([later]) == later
    assert most_telling([]) is None


def test_all_that_are_asked_must_agree() -> None:
    """One that contradicts outweighs one that is silent, which outweighs those that agree."""
    agree, oppose = a_fact(), a_fact(amount_micros=1)
    assert weighed(set(BOTH), Facts(provider=(agree,), transfers=(a_transfer(),)))[0] is Standing.AGREES
    assert weighed(set(BOTH), Facts(provider=(agree,)))[0] is Standing.AWAITED
    assert weighed(set(BOTH), Facts(provider=(oppose,)))[0] is Standing.OPPOSED


def test_who_is_not_asked_cannot_object() -> None:
    """A signature alone needs nobody."""
    assert weighed({"signature"}, Facts(provider=(a_fact(amount_micros=1),))) == (Standing.AGREES, {})
