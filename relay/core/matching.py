"""Own the ladder by which a transfer finds its order: what is told, whose address it is, what fits only once; never a guess.

An amount that differs is a flag on the first two rungs, since there the order
is known; on the third it is what tells orders apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.facts import Transfer

Key = tuple[str, str]

# Where an address is shared, an order takes money from a little before we were told of it until a little after its end.
LEAD, TAIL = timedelta(hours=1), timedelta(hours=1)
# How long an order without an end is taken to be open there.
OPEN = timedelta(hours=24)
# A transfer that found no order is looked at again later and later: an eighth of its age, so that its cost is bounded.
SOON, LATEST, GIVE_UP = timedelta(seconds=30), timedelta(hours=6), timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An order that a transfer may belong to.

    `names_tx`: a callback or its provider named the transaction.
    `owns_address`: its source gives each order or user an address of its own.
    `is_paid`: another transfer that stands belongs to it already.
    """

    key: Key
    names_tx: bool = False
    chain: str | None = None
    address: str | None = None
    owns_address: bool = False
    user_ref: str | None = None
    expected_micros: int | None = None
    amount_micros: int | None = None
    unit_micros: int = 1
    created_at: datetime
    expires_at: datetime | None = None
    is_paid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A transfer and everything that speaks of it.

    `role`, `namespace` and `owner` are what the address book says of the
    recipient. `siblings` counts the other transfers of its transaction to
    addresses where users pay to, `rivals` other transfers of the same amount
    to the same address around the same time that have no order either.
    """

    transfer: Transfer
    role: str | None = None
    namespace: str | None = None
    owner: str | None = None
    claims: Sequence[Claim] = ()
    siblings: int = 0
    rivals: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The order a transfer belongs to and the rung that says so (tx, address, amount), or why it has none.

    `reason` is then nobody, ambiguous, or outgoing: it left us, so no order
    will ever claim it. `flags`: amount (it differs from what is known), late.
    """

    key: Key | None = None
    rule: str = ""
    flags: frozenset[str] = frozenset()
    reason: str = ""


# Where orders are paid: users' addresses, and a provider's, where other people's orders are paid too.
PAID_TO = ("deposit", "provider")
NOBODY, AMBIGUOUS, OUTGOING = (Decision(reason=reason) for reason in ("nobody", "ambiguous", "outgoing"))


def decide(scene: Scene) -> Decision:
    """Climb the ladder; the first rung that knows an answer gives it."""
    possible = [claim for claim in scene.claims if _is_possible(claim, scene)]
    if not possible:
        return NOBODY if scene.role in PAID_TO else OUTGOING
    return _by_transaction(possible, scene) or _by_address(possible, scene) or _by_amount(possible, scene)


def next_look(decision: Decision, transfer: Transfer, now: datetime) -> datetime | None:
    """Return when a transfer without an order is looked at again; None: never."""
    age = now - transfer.block_time
    if decision.key is not None or decision is OUTGOING or age > GIVE_UP:
        return None
    return now + min(max(age / 8, SOON), LATEST)


def _is_possible(claim: Claim, scene: Scene) -> bool:
    """An order of another chain or address is not paid by this; one without an address only where its user's money arrives."""
    if claim.chain not in (None, scene.transfer.chain):
        return False
    if claim.address is not None:
        return claim.address == scene.transfer.recipient
    if scene.role not in PAID_TO or scene.namespace not in (None, claim.key[0]):
        return False
    return claim.user_ref == scene.owner if scene.owner is not None else claim.names_tx


def _by_transaction(possible: Sequence[Claim], scene: Scene) -> Decision | None:
    named = [claim for claim in possible if claim.names_tx]
    here = [claim for claim in named if claim.address is not None]
    if here:
        return _matched(here[0], "tx", scene) if len(here) == 1 else AMBIGUOUS
    # One that has no address may not take what came to another's own, and of a transaction with many only its amount.
    if named and any(claim.owns_address and claim.address is not None for claim in possible):
        return AMBIGUOUS
    if scene.siblings:
        named = [claim for claim in named if _is_exact(claim, scene.transfer)]
    if len(named) > 1:
        return AMBIGUOUS
    return _matched(named[0], "tx", scene) if named else None


def _by_address(possible: Sequence[Claim], scene: Scene) -> Decision | None:
    here = [claim for claim in possible if claim.address is not None]
    return _matched(here[0], "address", scene) if len(here) == 1 and here[0].owns_address else None


def _by_amount(possible: Sequence[Claim], scene: Scene) -> Decision:
    """Unique both ways, and only once it is final: until then more may come that fits."""
    fitting = [
        claim
        for claim in possible
        if not claim.is_paid and _is_exact(claim, scene.transfer) and _is_open(claim, scene.transfer.block_time)
    ]
    if not fitting:
        return NOBODY
    if len(fitting) > 1 or scene.rivals or not scene.transfer.is_final:
        return AMBIGUOUS
    return _matched(fitting[0], "amount", scene)


def _matched(claim: Claim, rule: str, scene: Scene) -> Decision:
    moved = scene.transfer
    known = [micros for micros in (claim.expected_micros, claim.amount_micros) if micros is not None]
    differs = any(abs(micros - moved.amount_micros) >= claim.unit_micros for micros in known)
    late = claim.expires_at is not None and moved.block_time > claim.expires_at
    flags = [name for name, holds in (("amount", differs), ("late", late)) if holds]
    return Decision(claim.key, rule, frozenset(flags))


def _is_exact(claim: Claim, moved: Transfer) -> bool:
    wanted = claim.amount_micros if claim.expected_micros is None else claim.expected_micros
    return wanted is not None and abs(wanted - moved.amount_micros) < claim.unit_micros


def _is_open(claim: Claim, at: datetime) -> bool:
    end = claim.created_at + OPEN if claim.expires_at is None else claim.expires_at
    return claim.created_at - LEAD <= at <= end + TAIL
