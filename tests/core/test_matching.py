"""The ladder: by transaction, by an address of its own, by what fits only once; and otherwise never."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.matching import AMBIGUOUS, NOBODY, OUTGOING, Claim, Decision, Scene, decide, next_look
from tests.builders import NOON
from tests.core.test_evidence import ADDRESS, a_transfer

ELSEWHERE = "0x" + "b" * 40
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOVED = a_transfer(chain="ethereum")


def a_claim(orderid: str = "sh-1", **changes: Any) -> Claim:
    """An order of 3 USDT that was made for this address."""
    usual: dict[str, Any] = {"address": ADDRESS, "expected_micros": 3_000_000, "created_at": NOON}
    return Claim(key=("crossing", orderid), **(usual | changes))


def a_scene(*claims: Claim, **changes: Any) -> Scene:
    """A transfer of 3 USDT to an address where users pay to."""
    usual: dict[str, Any] = {"transfer": MOVED, "role": "deposit", "claims": claims}
    return Scene(**(usual | changes))


OWN = a_claim(owns_address=True)
SHARED = a_claim()
OTHER = a_claim("sh-2")
NAMED = a_claim("sh-9", names_tx=True, address=None)
USERS = a_claim("sh-8", address=None, user_ref="7", expected_micros=None, amount_micros=3_000_000)
OWNED: dict[str, Any] = {"namespace": "crossing", "owner": "7"}
LESS = replace(MOVED, amount_micros=2_000_000)

LADDER = {
    "told by its transaction": (a_scene(NAMED), "tx sh-9"),
    "told, and at its own address": (a_scene(replace(OWN, names_tx=True)), "tx sh-1"),
    "told, with another amount": (a_scene(NAMED, transfer=LESS), "tx sh-9 amount"),
    "told, and not final": (a_scene(NAMED, transfer=replace(MOVED, is_final=False)), "tx sh-9"),
    "told, but it pays elsewhere": (a_scene(replace(NAMED, address=ELSEWHERE)), "nobody"),
    "told, but on another chain": (a_scene(replace(NAMED, chain="bsc")), "nobody"),
    "told by two": (a_scene(NAMED, replace(NAMED, key=("crossing", "sh-3"))), "ambiguous"),
    "told by two, of whom one has the address": (a_scene(replace(OWN, names_tx=True), NAMED), "tx sh-1"),
    "told by one, at the own address of another": (a_scene(NAMED, OWN), "ambiguous"),
    "told, at the address of another user": (a_scene(replace(NAMED, user_ref="1"), **OWNED), "nobody"),
    "told, at the address of its user": (a_scene(replace(NAMED, user_ref="7"), **OWNED), "tx sh-9"),
    "told, at an address of another namespace": (a_scene(NAMED, namespace="other"), "nobody"),
    "told, one of many in its transaction": (a_scene(NAMED, siblings=1), "tx sh-9"),
    "told, one of many, of another amount": (a_scene(NAMED, siblings=1, transfer=LESS), "nobody"),
    "an address of its own": (a_scene(OWN), "address sh-1"),
    "an address of its own, with another amount": (a_scene(OWN, transfer=LESS), "address sh-1 amount"),
    "an address of its own, too late": (a_scene(replace(OWN, expires_at=NOON - DAY)), "address sh-1 late"),
    "an address of its own, a second time": (a_scene(replace(OWN, is_paid=True)), "address sh-1"),
    "an address of its own, not final": (a_scene(OWN, transfer=replace(MOVED, is_final=False)), "address sh-1"),
    "a shared address, and it fits once": (a_scene(SHARED), "amount sh-1"),
    "a shared address, not final yet": (a_scene(SHARED, transfer=replace(MOVED, is_final=False)), "ambiguous"),
    "a shared address, another amount": (a_scene(SHARED, transfer=LESS), "nobody"),
    "two orders fit": (a_scene(SHARED, OTHER), "ambiguous"),
    "two orders, one of another amount": (a_scene(SHARED, replace(OTHER, expected_micros=4_000_000)), "amount sh-1"),
    "two orders, one is paid": (a_scene(replace(SHARED, is_paid=True), OTHER), "amount sh-2"),
    "two transfers fit": (a_scene(SHARED, rivals=1), "ambiguous"),
    "an order of tomorrow": (a_scene(replace(SHARED, created_at=NOON + 2 * HOUR)), "nobody"),
    "an order of last week": (a_scene(replace(SHARED, created_at=NOON - 7 * DAY)), "nobody"),
    "an order that ended yesterday": (a_scene(replace(SHARED, expires_at=NOON - DAY)), "nobody"),
    "an order that ended a little before": (a_scene(replace(SHARED, expires_at=NOON - HOUR / 2)), "amount sh-1 late"),
    "a user's own address, several orders": (a_scene(OWN, replace(OTHER, owns_address=True)), "ambiguous"),
    "a user's own address, the callback's amount": (a_scene(USERS, **OWNED), "amount sh-8"),
    "a user's own address, to the unit": (
        a_scene(replace(USERS, amount_micros=2_999_950, unit_micros=100), **OWNED),
        "amount sh-8",
    ),
    "no order": (a_scene(), "nobody"),
    "to an address where money is collected": (a_scene(role="collection"), "outgoing"),
    "to a provider's address, of nobody": (a_scene(role="provider"), "nobody"),
    "to a provider's address, and it fits once": (a_scene(SHARED, role="provider"), "amount sh-1"),
    "to a provider's address, told": (a_scene(NAMED, role="provider"), "tx sh-9"),
    "to an address that nobody knows": (a_scene(role=None), "outgoing"),
    "to a provider's address with an order": (a_scene(SHARED, role=None), "amount sh-1"),
    "told, but it came to no address of ours": (a_scene(NAMED, role=None), "outgoing"),
}


def in_words(decision: Decision) -> str:
    if decision.key is None:
        return decision.reason
    return " ".join([decision.rule, decision.key[1], *sorted(decision.flags)])


@pytest.mark.parametrize("case", LADDER)
def test_a_rung_that_knows_decides(case: str) -> None:
    """The first of transaction, own address, and amount in time, unique both ways."""
    scene, answer = LADDER[case]
    assert in_words(decide(scene)) == answer


CLAIMS = st.builds(
    a_claim,
    st.sampled_from(["sh-1", "sh-2", "sh-3"]),
    address=st.sampled_from([ADDRESS, ADDRESS, ELSEWHERE, None]),
    names_tx=st.booleans(),
    owns_address=st.booleans(),
    is_paid=st.booleans(),
    expected_micros=st.sampled_from([3_000_000, 4_000_000, None]),
)


@given(
    st.lists(CLAIMS, max_size=4, unique_by=lambda claim: claim.key), st.sampled_from([True, False]), st.integers(0, 1)
)
def test_it_never_guesses_and_never_depends_on_the_order_of_claims(
    claims: list[Claim], is_final: object, rivals: int
) -> None:
    """What is matched is possible, and without a transaction or an address of its own it is the only one that fits."""
    scene = a_scene(*claims, transfer=replace(MOVED, is_final=bool(is_final)), rivals=rivals)
    decision = decide(scene)
    assert decision == decide(replace(scene, claims=tuple(reversed(claims))))
    if decision.key is None:
        return
    (chosen,) = (claim for claim in claims if claim.key == decision.key)
    assert chosen.address in (None, ADDRESS)
    match decision.rule:
        case "tx":
            assert chosen.names_tx
        case "address":
            assert chosen.owns_address
            assert [claim for claim in claims if claim.address == ADDRESS] == [chosen]
        case "amount":
            assert is_final
            assert not rivals
            assert chosen.expected_micros == 3_000_000


def test_a_transfer_without_an_order_is_looked_at_later_and_later() -> None:
    """Until it is a month old; one that has an order, or left us, never again."""
    looks, now = 0, NOON
    while (coming := next_look(NOBODY, MOVED, now)) is not None:
        assert timedelta(seconds=30) <= coming - now <= timedelta(hours=6)
        looks, now = looks + 1, coming
    assert 100 < looks < 250
    assert now - NOON > timedelta(days=30)
    assert next_look(AMBIGUOUS, MOVED, NOON + HOUR) == NOON + HOUR + HOUR / 8
    assert next_look(OUTGOING, MOVED, NOON) is None
    assert next_look(Decision(("crossing", "sh-1"), "tx"), MOVED, NOON) is None
