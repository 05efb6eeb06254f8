"""Own what a named person decides about an order's money: the four ends of a hold, and the correction of a credit that nobody holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.core.amounts import LARGEST, parse_usdt
from relay.core.callbacks import Origin
from relay.core.orders import DISCARDED, Change, Order, Ruling, State
from relay.errors import Conflict, Unprocessable

# A reversed order's transfer may come back, and with it its credit: nobody corrects that meanwhile.
CORRECTABLE = frozenset({State.SUCCEEDED, State.REFUNDED})


class Act(StrEnum):
    """What becomes of a held order."""

    CREDIT = "credit"
    ADJUST = "adjust"
    REVERSE = "reverse"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A named person's word. `micros` is the sum of a credit (None: what was received), or the signed delta of an adjustment."""

    act: Act
    reason: str
    micros: int | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """What was announced of an order before: whether its one credit was, how many reversals, and how many were undone."""

    credit: bool
    reversals: int
    reinstatements: int = 0


def release(order: Order, wish: Release, announced: Announced, *, by_two: bool = False) -> Ruling:
    """Return what a release writes. Two persons (`by_two`) also adjust a credit that nobody holds.

    Raises Conflict when the order is not held, or the act does not fit what
    was credited; Unprocessable for an amount that cannot be.
    """
    if order.state != State.HELD:
        _check_correction(order, wish, by_two=by_two)
    acts: dict[Act, Callable[[], Ruling]] = {
        Act.CREDIT: lambda: _credit(order, wish, announced),
        Act.ADJUST: lambda: _adjust(order, wish, announced),
        Act.REVERSE: lambda: _reverse(order, wish, announced),
        Act.DISCARD: lambda: _discard(order, wish),
    }
    return acts[wish.act]()


def wish_of(act: str, reason: str, amount: str | None) -> Release:
    """Return a release from a person's words, the amount in USDT with a sign where it takes back.

    Raises Unprocessable for an amount that is none, and for a reason that says nothing.
    """
    if not reason.strip():
        raise Unprocessable("say why: the audit and subscribers are told", pointer="/reason")
    return Release(act=Act(act), reason=reason, micros=None if amount is None else _signed_micros(amount))


def _check_correction(order: Order, wish: Release, *, by_two: bool) -> None:
    if wish.act is not Act.ADJUST or order.state not in CORRECTABLE:
        raise Conflict("only a held order can be released")
    if not by_two:
        raise Conflict("nobody holds this order: its credit is corrected by two persons, on its page in /finance")


def _credit(order: Order, wish: Release, announced: Announced) -> Ruling:
    # The event is the credit: an order all of whose money went back has still used it up.
    if announced.credit or order.was_credited:
        raise Conflict("the credit of this order is used up; adjust it instead")
    micros = order.amount_micros if wish.micros is None else wish.micros
    if micros is None or micros <= 0:
        raise Unprocessable("say how much is to be credited, more than nothing", pointer="/amount")
    after = _settled(order, State.SUCCEEDED, credited_micros=micros)
    return _ruling(after, "recharge.succeeded", None)


def _adjust(order: Order, wish: Release, announced: Announced) -> Ruling:
    if not (announced.credit or order.credited_micros):
        raise Conflict("nothing was credited yet; credit it instead")
    if not wish.micros:
        raise Unprocessable("say by how much, such as -1.5; to keep the credit as it is, discard", pointer="/amount")
    net = order.credited_micros + wish.micros
    if net < 0:
        raise Unprocessable("more than was credited cannot be taken back", pointer="/amount")
    if net > LARGEST:
        raise Unprocessable("the credit would be more than there is", pointer="/amount")
    after = _settled(order, State.SUCCEEDED if net else State.REFUNDED, credited_micros=net)
    return _ruling(after, "recharge.adjusted", Change(wish.micros, wish.reason))


def _reverse(order: Order, wish: Release, announced: Announced) -> Ruling:
    _refuse_amount(wish)
    if not order.credited_micros:
        raise Conflict("nothing is credited that could be reversed")
    after = _settled(order, State.REVERSED, credited_micros=0)
    change = Change(-order.credited_micros, wish.reason, announced.reversals + 1)
    return _ruling(after, "recharge.reversed", change)


def _discard(order: Order, wish: Release) -> Ruling:
    """Without a credit the payment is thrown away; with one, what objected to it, and the credit stands."""
    _refuse_amount(wish)
    if order.credited_micros:
        after = _settled(order, State.SUCCEEDED, credited_micros=order.credited_micros)
        return _ruling(after, "recharge.adjusted", Change(0, wish.reason))
    after = replace(_settled(order, State.FAILED, credited_micros=0), held_reason=DISCARDED)
    return _ruling(after, "recharge.failed", None)


def _refuse_amount(wish: Release) -> None:
    if wish.micros is not None:
        raise Unprocessable(f'"{wish.act}" takes no amount', pointer="/amount")


def _settled(order: Order, state: State, *, credited_micros: int) -> Order:
    return replace(order, state=state, version=order.version + 1, credited_micros=credited_micros, held_reason=None)


def _ruling(after: Order, announce: str, change: Change | None) -> Ruling:
    return Ruling(order=after, announce=announce, change=change, origin=Origin.OPERATOR)


def _signed_micros(amount: str) -> int:
    try:
        micros = parse_usdt(amount.removeprefix("-"))
    except ValueError as error:
        raise Unprocessable(f"the amount {error}", pointer="/amount") from None
    return -micros if amount.startswith("-") else micros
