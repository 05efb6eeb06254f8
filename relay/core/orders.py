"""Own the states of an order: what a verified callback means for it, and what is announced.

Pure rules. `rule` is given everything that is known under the lock and
answers with what to write; nothing here reads, writes or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from relay.core.callbacks import Callback, Origin, Status, agree
from relay.core.sources import Source


class Verdict(StrEnum):
    """What became of a callback whose signature held."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    FORGERY = "forgery"


class State(StrEnum):
    """Where an order stands."""

    CREATING = "creating"
    CREATED = "created"
    PENDING = "pending"
    CONFIRMING = "confirming"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    HELD = "held"
    REVERSED = "reversed"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What we believe of one order. `credited_micros` is the net of what was announced, in micro-USDT."""

    namespace: str
    orderid: str
    source: str
    state: str
    version: int = 1
    appid: str | None = None
    user_ref: str | None = None
    provider_order_id: str | None = None
    amount_micros: int | None = None
    amount_raw: str | None = None
    expected_micros: int | None = None
    credited_micros: int = 0
    registered: bool = False
    flags: frozenset[str] = frozenset()
    held_reason: str | None = None
    chain: str | None = None
    address: str | None = None
    notify_url: str | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The identity of an order."""
        return (self.namespace, self.orderid)

    @property
    def was_credited(self) -> bool:
        """The one credit is used up, by us or by whoever ran before us."""
        return self.credited_micros > 0 or "observed" in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A disagreement, before it is a break: its id follows from its kind and order, so it opens once."""

    kind: str
    severity: int
    callback: Callback
    evidence: dict[str, str]

    @property
    def id(self) -> str:
        """The stable id of the break."""
        namespace, orderid = self.callback.key
        return "brk_" + sha256(f"{self.kind}\x1f{namespace}\x1f{orderid}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What to write for one callback.

    `order` is the order as it stands afterwards, None when it did not
    change; `announce` the event type its change is announced by.
    """

    verdict: Verdict
    order: Order | None = None
    announce: str | None = None
    finding: Finding | None = None
    stops_deliveries: bool = False


def rule(
    callback: Callback, source: Source, *, order: Order | None, known: Sequence[Callback], paused: bool, now: datetime
) -> Ruling:
    """Judge one verified callback against everything kept of its order and its signature.

    `known` holds the kept callbacks of the order, and those that bear the
    same signature whatever their order.
    """
    if _is_forged(callback, known):
        return Ruling(verdict=Verdict.FORGERY)
    if is_repeat(callback, known):
        return Ruling(verdict=Verdict.DUPLICATE)
    opposed = next((other for other in known if _contradicts(callback, other)), None)
    if opposed is not None:
        return _conflict(callback, opposed, order or _born(callback))
    return _accept(callback, source, order=order, paused=paused, now=now)


def is_repeat(callback: Callback, known: Sequence[Callback]) -> bool:
    """Tell whether a callback says what was kept already, under a signature that was never seen over other fields."""
    return not _is_forged(callback, known) and any(agree(callback, other) for other in known)


def _is_forged(callback: Callback, known: Sequence[Callback]) -> bool:
    return any(_is_forged_from(callback, other) for other in known)


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
    """One status with two amounts, users or transactions, or one order with two users, cannot both be true."""
    if callback.key != other.key:
        return False
    two_users = None not in (callback.user_ref, other.user_ref) and callback.user_ref != other.user_ref
    return two_users or callback.status == other.status


def _conflict(callback: Callback, opposed: Callback, order: Order) -> Ruling:
    finding = Finding(kind="duplicate_conflict", severity=1, callback=callback, evidence=_difference(opposed, callback))
    held = replace(order, flags=order.flags | {"conflict"})
    if order.state != State.HELD:
        held = replace(held, state=State.HELD, held_reason="conflict", version=order.version + 1)
    announce = "recharge.held" if order.state != State.HELD else None
    return Ruling(verdict=Verdict.CONFLICT, order=held, announce=announce, finding=finding, stops_deliveries=True)


def _difference(kept: Callback, arrived: Callback) -> dict[str, str]:
    """Name each field that differs, with both values, kept first."""
    names = ("amount_raw", "user_ref", "tx_hash")
    return {
        name: f"{getattr(kept, name)} / {getattr(arrived, name)}"
        for name in names
        if getattr(kept, name) != getattr(arrived, name)
    }


def _accept(callback: Callback, source: Source, *, order: Order | None, paused: bool, now: datetime) -> Ruling:
    before = order or _born(callback)
    if callback.status is Status.SUCCEEDED:
        return _paid(callback, source, before, paused=paused, now=now)
    if callback.status is Status.PENDING:
        return _moved(before, State.PENDING, callback, since={State.CREATED})
    return _ended(callback, before)


def _born(callback: Callback) -> Order:
    """An order that nobody registered begins with its first callback; version 0 has not been told to anyone."""
    return Order(
        namespace=callback.namespace,
        orderid=callback.orderid,
        source=callback.source,
        state=State.CREATED,
        version=0,
        appid=callback.appid,
        user_ref=callback.user_ref,
    )


def _moved(before: Order, to: State, callback: Callback, *, since: set[State]) -> Ruling:
    """Move the order when it stands in one of `since`; a late word about an earlier state changes nothing."""
    if before.state not in since:
        return Ruling(verdict=Verdict.ACCEPTED)
    after = replace(_told(before, callback), state=to, version=before.version + 1)
    return Ruling(verdict=Verdict.ACCEPTED, order=after, announce=f"recharge.{to}")


def _ended(callback: Callback, before: Order) -> Ruling:
    to = State(callback.status.value)
    if before.state in (State.CREATED, State.PENDING):
        after = replace(_told(before, callback), state=to, version=before.version + 1)
        announce = None if to is State.REFUNDED else f"recharge.{to}"
        return Ruling(verdict=Verdict.ACCEPTED, order=after, announce=announce)
    if before.was_credited:
        evidence = {"status": f"{before.state} / {callback.status}"}
        return Ruling(
            verdict=Verdict.ACCEPTED,
            finding=Finding(kind="status_regression", severity=2, callback=callback, evidence=evidence),
        )
    return Ruling(verdict=Verdict.ACCEPTED)


def _paid(callback: Callback, source: Source, before: Order, *, paused: bool, now: datetime) -> Ruling:
    told = _told(before, callback)
    if before.was_credited or before.state == State.HELD:
        return Ruling(verdict=Verdict.ACCEPTED, order=told)
    if _only_observed(callback, source):
        observed = replace(told, state=State.SUCCEEDED, version=before.version + 1, flags=told.flags | {"observed"})
        return Ruling(verdict=Verdict.ACCEPTED, order=observed)
    reason = hold_reason(callback, source, registered=before.registered, paused=paused, now=now)
    if reason is not None:
        held = replace(told, state=State.HELD, held_reason=reason, version=before.version + 1)
        return Ruling(verdict=Verdict.ACCEPTED, order=held, announce="recharge.held")
    credited = replace(told, state=State.SUCCEEDED, version=before.version + 1, credited_micros=callback.amount_micros)
    return Ruling(verdict=Verdict.ACCEPTED, order=credited, announce="recharge.succeeded")


def _told(before: Order, callback: Callback) -> Order:
    """The order with what the callback says of it; the witness that wins names the source."""
    late = {"late"} if before.state in (State.FAILED, State.EXPIRED) else set()
    recovered = {"recovered"} if callback.origin is Origin.RECONCILER else set()
    return replace(
        before,
        source=callback.source,
        appid=callback.appid or before.appid,
        user_ref=before.user_ref or callback.user_ref,
        provider_order_id=callback.provider_order_id or before.provider_order_id,
        amount_micros=callback.amount_micros,
        amount_raw=callback.amount_raw,
        flags=before.flags | callback.flags | late | recovered,
    )


def _only_observed(callback: Callback, source: Source) -> bool:
    """Whoever ran before us credited it: what an observed source says, and what is older than `live_from`."""
    if not source.credits:
        return True
    return source.live_from is not None and callback.occurred_at is not None and callback.occurred_at < source.live_from


def hold_reason(callback: Callback, source: Source, *, registered: bool, paused: bool, now: datetime) -> str | None:
    """Say why a paid order must wait for a person, or None when it may be credited.

    Amounts follow the policy *as_received*: what arrived is credited when it
    is at least the minimum, and something.
    """
    if paused:
        return "source_paused"
    if (
        source.max_age_s
        and callback.occurred_at is not None
        and now - callback.occurred_at > timedelta(seconds=source.max_age_s)
    ):
        return "too_old"
    if source.unknown_orders == "hold" and not registered:
        return "unknown_order"
    if callback.amount_micros < max(source.minimum_micros, 1):
        return "below_minimum"
    if source.hold_above_micros is not None and callback.amount_micros > source.hold_above_micros:
        return "above_limit"
    return None
