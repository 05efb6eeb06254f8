"""Own the rules of an order: what a verified callback, a new fact or the passing of time means for it, and what is announced.

Pure rules. Each is given everything that is known under the lock and
answers with what to write; nothing here reads, writes or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay.core.amounts import format_micros
from relay.core.backing import backing
from relay.core.callbacks import Callback, Origin, Status
from relay.core.claims import claim_of
from relay.core.evidence import NOTHING, Facts, Standing, weigh
from relay.core.orders import DISCARDED, DOUBLE_CLAIM, Change, Finding, Order, Ruling, State, Verdict
from relay.core.policies import Outcome, Received, assess, received, scale_error
from relay.core.repeats import contradicted, is_forged, is_repeat
from relay.core.sources import Source
from relay.core.unordered import Unordered, twin

# Nothing was paid yet, as far as we know; CREATING because a callback may overtake the answer to our request.
UNPAID = frozenset({State.CREATING, State.CREATED, State.PENDING})
_AMOUNT_FLAGS = frozenset({"partial", "overpaid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known beside the order itself: the time, whether its source is paused, what witnesses say.

    `credited_micros` is what the source credited in the hour before, read only where it has a limit for that; `unordered` are the
    credits without an order that nothing explains yet, of everybody.
    """

    now: datetime
    paused: bool = False
    facts: Facts = NOTHING
    credited_micros: int = 0
    unordered: tuple[Unordered, ...] = ()


def rule(callback: Callback, source: Source, *, order: Order | None, known: Sequence[Callback], at: Moment) -> Ruling:
    """Judge one verified callback against everything kept of its order and its signature.

    `known` holds the kept callbacks of the order, and those that bear the
    same signature whatever their order.
    """
    if is_forged(callback, known):
        return Ruling(verdict=Verdict.FORGERY)
    if is_repeat(callback, known):
        return Ruling(verdict=Verdict.DUPLICATE)
    before = order or _born(callback)
    opposed = contradicted(callback, known)
    if opposed is not None:
        return _conflict(callback, before, _difference(opposed, callback))
    if None not in (before.user_ref, callback.user_ref) and before.user_ref != callback.user_ref:
        return _conflict(callback, before, {"user_ref": f"{before.user_ref} / {callback.user_ref}"})
    return _accept(callback, source, before, known, at)


def reconsider(order: Order, source: Source, *, known: Sequence[Callback], at: Moment) -> Ruling:
    """Judge an order that awaits evidence, or money of its own, again with the facts of now; for any other order nothing follows."""
    paid = [one for one in known if one.key == order.key and _counts_as_paid(one)]
    is_doubted = order.held_reason == DOUBLE_CLAIM and order.state == State.HELD
    if not paid or not (order.state == State.CONFIRMING or (is_doubted and _has_its_own(order, at.facts))):
        return Ruling()
    callback = paid[-1]
    ruling = _credit(source, order, order, received(callback, known, source), _for(callback, at))
    # It is held already: to hold it again would announce the same once more.
    if is_doubted and ruling.announce != "recharge.succeeded":
        return Ruling()
    return replace(ruling, origin=callback.origin, occurred_at=callback.occurred_at)


def _has_its_own(order: Order, facts: Facts) -> bool:
    """Final transfers that belong to it, and to nobody else, pay what it was said to be paid."""
    own = sum(one.amount_micros for one in facts.transfers if one.is_final)
    return own > 0 and own >= (order.amount_micros or 0)


def end_grace(order: Order, source: Source | None, *, known: Sequence[Callback], at: Moment) -> Ruling:
    """Judge an order whose evidence is overdue a last time: what is still missing holds it, and is named.

    Nobody can be asked any more for an order whose `source` is configured no longer.
    """
    if order.state != State.CONFIRMING:
        return Ruling()
    if source is None:
        finding = _finding("evidence_missing", 2, order, {"source": "is configured no longer"})
        return _held(order, order, "evidence_missing", finding=finding, origin=Origin.RECONCILER)
    ruling = reconsider(order, source, known=known, at=at)
    if ruling.announce is not None:
        return ruling
    found = Received(order.amount_micros or 0, source.adapter.unit_micros, 1)
    notes = weigh(order, found, source.evidence, at.facts).notes
    finding = _finding("evidence_missing", 2, order, notes)
    return _held(order, order, "evidence_missing", finding=finding, origin=Origin.RECONCILER)


def expire(order: Order, now: datetime) -> Ruling:
    """Judge an order whose time may be over: what was paid in part is held, the rest is expired."""
    if order.expires_at is None or order.expires_at > now or order.state not in (State.CREATED, State.PENDING):
        return Ruling()
    if "partial" in order.flags:
        return _held(order, order, _partial_reason(order), origin=Origin.RECONCILER)
    after = replace(order, state=State.EXPIRED, version=order.version + 1)
    return Ruling(order=after, announce="recharge.expired", origin=Origin.RECONCILER, occurred_at=order.expires_at)


def _counts_as_paid(callback: Callback) -> bool:
    return callback.status is Status.SUCCEEDED and "conflict" not in callback.flags


def _conflict(callback: Callback, before: Order, evidence: Mapping[str, str]) -> Ruling:
    finding = _finding("duplicate_conflict", 1, before, evidence, callback)
    told = replace(before, flags=before.flags | {"conflict"})
    # Subscribers know of an order that is held already; for them nothing is new.
    ruling = Ruling(order=told) if before.state == State.HELD else _held(before, told, "conflict")
    return replace(ruling, verdict=Verdict.CONFLICT, finding=finding, stops_deliveries=True)


def _difference(kept: Callback, arrived: Callback) -> dict[str, str]:
    """Name each field that differs, with both values, kept first, and a difference of scale as such."""
    names = ("amount_raw", "user_ref", "tx_hash")
    found = {
        name: f"{getattr(kept, name)} / {getattr(arrived, name)}"
        for name in names
        if getattr(kept, name) != getattr(arrived, name)
    }
    scale = scale_error(arrived.amount_micros, kept.amount_micros)
    return found | ({"scale": scale} if scale else {})


def _accept(callback: Callback, source: Source, before: Order, known: Sequence[Callback], at: Moment) -> Ruling:
    if callback.status is Status.SUCCEEDED:
        return _paid(callback, source, before, received(callback, known, source), at)
    if callback.status is Status.PENDING:
        return _moved(callback, before, State.PENDING, since={State.CREATING, State.CREATED}, now=at.now)
    if callback.status is Status.UNKNOWN:
        return _unmapped(callback, before)
    if callback.status is Status.REFUNDED and before.credited_micros > 0 and before.state == State.SUCCEEDED:
        return _refunded(callback, before)
    return _ended(callback, before, now=at.now)


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


def _moved(callback: Callback, before: Order, to: State, *, since: set[State], now: datetime) -> Ruling:
    """Move the order when it stands in one of `since`; a late word about an earlier state changes nothing."""
    if before.state not in since:
        return Ruling()
    after = replace(_told(before, callback, callback.amount_micros, now), state=to, version=before.version + 1)
    return Ruling(order=after, announce=f"recharge.{to}")


def _unmapped(callback: Callback, before: Order) -> Ruling:
    """A word nobody has mapped is kept and shown, and moves nothing; someone has to map it."""
    finding = _finding("unknown_status", 2, before, {"status": callback.raw_status or ""}, callback)
    return Ruling(order=replace(before, version=1) if before.version == 0 else None, finding=finding)


def _refunded(callback: Callback, before: Order) -> Ruling:
    """The provider gave back what was credited; a refund of another amount is for a person to understand."""
    if abs(callback.amount_micros - before.credited_micros) >= callback.unit_micros:
        evidence = {"refunded": f"{format_micros(before.credited_micros)} / {format_micros(callback.amount_micros)}"}
        return _held(before, before, "refund_amount", finding=_finding("refund_amount", 2, before, evidence, callback))
    after = replace(before, state=State.REFUNDED, version=before.version + 1, credited_micros=0)
    change = Change(-before.credited_micros, "refunded")
    return Ruling(order=after, announce="recharge.adjusted", change=change)


def _ended(callback: Callback, before: Order, *, now: datetime) -> Ruling:
    to = State(callback.status.value)
    if before.state in UNPAID:
        return _moved_to_end(callback, before, to, now=now)
    regressed = before.state in (State.CONFIRMING, State.HELD) or before.was_credited
    if not regressed:
        return Ruling()
    finding = _finding("status_regression", 2, before, {"status": f"{before.state} / {callback.status}"}, callback)
    if before.state == State.CONFIRMING:
        return _held(before, before, "evidence_disagrees", finding=finding)
    return Ruling(finding=finding)


def _moved_to_end(callback: Callback, before: Order, to: State, *, now: datetime) -> Ruling:
    if to is not State.REFUNDED and "partial" in before.flags:
        return _held(before, before, _partial_reason(before))
    after = replace(_told(before, callback, callback.amount_micros, now), state=to, version=before.version + 1)
    # Nothing was credited that a service could take back, so no event tells of a refund here.
    return Ruling(order=after, announce=None if to is State.REFUNDED else f"recharge.{to}")


def _paid(callback: Callback, source: Source, before: Order, found: Received, at: Moment) -> Ruling:
    told = _told(before, callback, found.micros, at.now)
    if before.state == State.HELD:
        return Ruling(order=told)
    if before.state in (State.REFUNDED, State.REVERSED):
        return _proposed(callback, before, told, found)
    if before.was_credited:
        is_more = found.payments > 1 and found.micros - before.credited_micros >= found.unit_micros
        return _proposed(callback, before, told, found) if is_more else Ruling(order=told)
    if _is_only_observed(callback, source):
        observed = replace(told, state=State.SUCCEEDED, version=before.version + 1, flags=told.flags | {"observed"})
        return Ruling(order=observed)
    if before.held_reason == DISCARDED:
        return _held(before, told, DISCARDED)
    if _is_too_old(callback, source, at.now):
        return _held(before, told, "too_old")
    return _credit(source, before, told, found, _for(callback, at))


def _for(callback: Callback, at: Moment) -> Moment:
    """Whoever names a transaction is the late word of that one alone."""
    return replace(at, unordered=()) if at.unordered and callback.tx_hash is not None else at


def _proposed(callback: Callback, before: Order, told: Order, found: Received) -> Ruling:
    """Money that came after the order was settled: a person adjusts, or throws the proposal away."""
    evidence = {"credited": f"{format_micros(before.credited_micros)} / {format_micros(found.micros)}"}
    finding = _finding("second_payment", 2, before, evidence, callback)
    return _held(before, told, "second_payment", finding=finding)


def _credit(source: Source, before: Order, told: Order, found: Received, at: Moment) -> Ruling:
    """Credit what was received, unless the policy, a limit or another witness objects."""
    reason = hold_reason(found.micros, source, registered=before.registered, at=at)
    if reason is not None:
        return _held(before, told, reason)
    assessed = assess(found, told, source)
    flags = told.flags - _AMOUNT_FLAGS | assessed.flags
    if flags != told.flags:
        told = replace(told, flags=flags)
    if assessed.outcome is Outcome.HOLD:
        return _held(before, told, assessed.reason or "")
    if assessed.outcome is Outcome.WAIT:
        return _wait(before, told, now=at.now)
    return _confirm(source, before, told, found, at)


def _wait(before: Order, told: Order, *, now: datetime) -> Ruling:
    """Part of the money is there; the order's time decides how long the rest is waited for."""
    is_over = told.expires_at is not None and told.expires_at <= now
    if is_over or before.state not in UNPAID:
        return _held(before, told, _partial_reason(told))
    if before.state == State.PENDING:
        return Ruling(order=told)
    after = replace(told, state=State.PENDING, version=before.version + 1)
    return Ruling(order=after, announce="recharge.pending")


def _confirm(source: Source, before: Order, told: Order, found: Received, at: Moment) -> Ruling:
    weighed = weigh(told, found, source.evidence, at.facts)
    if weighed.standing is Standing.OPPOSED:
        finding = _finding("evidence_conflict", 1, told, weighed.notes)
        return _held(before, told, "evidence_disagrees", finding=finding)
    if weighed.standing is Standing.AGREES:
        return _backed(before, told, found, at)
    if before.state == State.CONFIRMING:
        return Ruling(order=None if told == before else told)
    return Ruling(order=replace(told, state=State.CONFIRMING, version=before.version + 1))


def _backed(before: Order, told: Order, found: Received, at: Moment) -> Ruling:
    """Credit it, unless its money is, or may be, another order's already."""
    stands_on = backing(told, found, at.facts)
    if stands_on.taken_by:
        notes = {"tx_hash": stands_on.tx_hash, "orders": ", ".join(stands_on.taken_by)}
        return _held(before, told, DOUBLE_CLAIM, finding=_finding(DOUBLE_CLAIM, 1, told, notes))
    # One whose money is known to be its own is nobody's late word.
    is_its_own = bool(stands_on.takes or at.facts.transfers)
    before_it = None if is_its_own else twin(told, found.micros, found.unit_micros, at.unordered)
    if before_it is not None:
        held = _held(before, told, DOUBLE_CLAIM, finding=_finding(DOUBLE_CLAIM, 1, told, claim_of(before_it)))
        return replace(held, word_of=before_it)
    credited = replace(
        told, state=State.SUCCEEDED, version=before.version + 1, credited_micros=found.micros, held_reason=None
    )
    return Ruling(order=credited, announce="recharge.succeeded", takes=stands_on.takes)


def _held(
    before: Order, told: Order, reason: str, *, finding: Finding | None = None, origin: Origin = Origin.CALLBACK
) -> Ruling:
    after = replace(told, state=State.HELD, held_reason=reason, version=before.version + 1)
    return Ruling(order=after, announce="recharge.held", finding=finding, origin=origin)


def _finding(
    kind: str, severity: int, order: Order, evidence: Mapping[str, str], callback: Callback | None = None
) -> Finding:
    return Finding(
        kind=kind,
        severity=severity,
        source=order.source if callback is None else callback.source,
        key=order.key,
        amount_micros=order.amount_micros if callback is None else callback.amount_micros,
        evidence=evidence,
    )


def _partial_reason(order: Order) -> str:
    return scale_error(order.amount_micros or 0, order.expected_micros) or "partial"


def _told(before: Order, callback: Callback, micros: int, now: datetime) -> Order:
    """The order with what the callback says of it; the witness that wins names the source."""
    over = before.expires_at is not None and before.expires_at < (callback.occurred_at or now)
    late = {"late"} if over or before.state in (State.FAILED, State.EXPIRED) else set()
    recovered = {"recovered"} if callback.origin is Origin.RECONCILER else set()
    # The user alone is never replaced: another one than is known was a conflict before it came here.
    return replace(
        before,
        source=callback.source,
        appid=callback.appid or before.appid,
        user_ref=before.user_ref or callback.user_ref,
        provider_order_id=callback.provider_order_id or before.provider_order_id,
        amount_micros=micros,
        amount_raw=callback.amount_raw,
        flags=before.flags | callback.flags | late | recovered,
    )


def _is_only_observed(callback: Callback, source: Source) -> bool:
    """Whoever ran before us credited it: what an observed source says, and what is older than `live_from`."""
    if not source.credits:
        return True
    return source.live_from is not None and callback.occurred_at is not None and callback.occurred_at < source.live_from


def _is_too_old(callback: Callback, source: Source, now: datetime) -> bool:
    """Judged once, when it arrives: an order that waits for evidence does not grow too old by that."""
    if not source.max_age_s or callback.occurred_at is None:
        return False
    return now - callback.occurred_at > timedelta(seconds=source.max_age_s)


def hold_reason(micros: int, source: Source, *, registered: bool, at: Moment) -> str | None:
    """Say why a paid order must wait for a person whatever its amount should be, or None when it need not."""
    if at.paused:
        return "source_paused"
    if source.unknown_orders == "hold" and not registered:
        return "unknown_order"
    if source.hold_above_micros is not None and micros > source.hold_above_micros:
        return "above_limit"
    hourly = source.hold_above_hourly_micros
    if hourly is not None and at.credited_micros + micros > hourly:
        return "above_hourly_limit"
    return None
