"""Own how a callback relates to those that were kept before it: a repeat, a contradiction, or a forgery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.core.callbacks import Callback, Status, agree


def is_repeat(callback: Callback, known: Sequence[Callback]) -> bool:
    """Tell whether a callback says what was kept already, under a signature that was never seen over other fields."""
    return not is_forged(callback, known) and any(agree(callback, other) for other in known)


def is_forged(callback: Callback, known: Iterable[Callback]) -> bool:
    """Tell whether the callback bears a signature that was kept over other fields."""
    return any(_is_forged_from(callback, other) for other in known)


def contradicted(callback: Callback, known: Iterable[Callback]) -> Callback | None:
    """Return a kept callback that cannot be true beside this one, which is known to repeat none; None when there is none."""
    return next((other for other in known if _contradicts(callback, other)), None)


def _is_forged_from(callback: Callback, other: Callback) -> bool:
    """A signature that verified once names one set of fields; over others it was moved there.

    Schemes without separators let digits wander between neighbouring fields
    while the signature still holds.
    """
    if callback.signature is None or (callback.source, callback.signature) != (other.source, other.signature):
        return False
    return _signed_fields(callback) != _signed_fields(other)


def _signed_fields(callback: Callback) -> tuple[object, ...]:
    return (
        callback.orderid,
        callback.status,
        callback.amount_raw,
        callback.appid,
        callback.user_ref,
        callback.provider_order_id,
        callback.tx_hash,
        callback.occurred_at,
    )


def _contradicts(callback: Callback, other: Callback) -> bool:
    """One payment with two amounts, users or transactions, or one order with two users, cannot both be true."""
    if callback.key != other.key:
        return False
    two_users = None not in (callback.user_ref, other.user_ref) and callback.user_ref != other.user_ref
    if callback.status is Status.UNKNOWN:
        return two_users
    return two_users or (callback.status == other.status and _is_same_part(callback.part, other.part))


def _is_same_part(one: str, other: str) -> bool:
    """A witness that cannot tell payments apart speaks of all of them."""
    return one == other or "" in (one, other)
