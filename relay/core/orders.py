"""Own what an order is: its states, what is believed of it, and what a rule may want written about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from relay.core.callbacks import Origin
from relay.core.facts import TransferKey


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


# What may be shown of an order beside its state.
FLAGS = ("clock", "conflict", "imported", "late", "observed", "overpaid", "partial", "recovered", "unordered")
# A person threw the payment of an order away: whatever comes later waits for a person again.
DISCARDED = "discarded"
# The money of an order is, or may be, another's: held until it has money of its own, or a person decides.
DOUBLE_CLAIM = "double_claim"


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


@dataclass(frozen=True, slots=True)
class Spot:
    """What a break is about where it is about no order: a transfer, a balance or an address of a chain.

    `name` tells it from all others there, `address` and `tx_hash` find it; machine spelling.
    """

    chain: str
    name: str
    address: str
    tx_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A disagreement, before it is a break: its id follows from its kind and its order, or its spot, so it opens once."""

    kind: str
    severity: int
    source: str | None
    key: tuple[str | None, str | None]
    amount_micros: int | None
    evidence: Mapping[str, str]
    spot: Spot | None = None

    @property
    def id(self) -> str:
        """The stable id of the break."""
        about = self.key if self.spot is None else (self.spot.chain, self.spot.name)
        return "brk_" + sha256(f"{self.kind}\x1f{about[0]}\x1f{about[1]}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Change:
    """How the money of a credited order changed: signed micro-USDT, why, and which reversal of the order it is or undoes."""

    delta_micros: int
    reason: str
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What to write.

    `order` is the order as it stands afterwards, None when it did not
    change; `announce` the event type its change is announced by, `change`
    what that event says of money already credited. `origin` and
    `occurred_at` tell who brought the fact, and of when it is, where it was
    not the callback that was judged. `takes` are the transfers that a
    credit stands on and that had no order yet, `word_of` is the credit
    without an order that it may be the late word of.
    """

    verdict: Verdict = Verdict.ACCEPTED
    order: Order | None = None
    announce: str | None = None
    change: Change | None = None
    finding: Finding | None = None
    stops_deliveries: bool = False
    origin: Origin = Origin.CALLBACK
    occurred_at: datetime | None = None
    takes: tuple[TransferKey, ...] = ()
    word_of: str | None = None
