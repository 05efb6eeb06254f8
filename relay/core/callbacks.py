"""Own the value every other room speaks about: one verified callback."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """The few words every provider's status is mapped to; together with the order it is a callback's identity."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    UNKNOWN = "unknown"  # the adapter does not map what the provider said: kept, shown, alerted, never acted upon


class Origin(StrEnum):
    """Who brought the fact: the provider, the reconciler, or a named person."""

    CALLBACK = "callback"
    RECONCILER = "reconciler"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A callback whose signature held, in our words.

    `amount_micros` counts millionths of a USDT; `amount_raw` is the provider's own text.
    `unit_micros` is the smallest difference the source can express (100 for 1/10,000 USDT).
    `signature` is the normalised text of the signature when it names one set of fields, else None.
    `secret_id` names the secret that verified it. `raw_status` is the provider's own word for the status, when it sends one.
    `part` tells the payments of one order apart where its source may report several (see `relay.core.policies.part_of`).
    """

    source: str
    namespace: str
    orderid: str
    status: Status
    amount_micros: int
    amount_raw: str
    unit_micros: int
    appid: str | None = None
    user_ref: str | None = None
    provider_order_id: str | None = None
    tx_hash: str | None = None
    occurred_at: datetime | None = None
    signature: str | None = None
    secret_id: str | None = None
    origin: Origin = Origin.CALLBACK
    flags: frozenset[str] = frozenset()
    raw_status: str | None = None
    part: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the order, whoever reports on it."""
        return (self.namespace, self.orderid)


def agree(one: Callback, other: Callback) -> bool:
    """Tell whether two callbacks of one order say the same thing.

    They do when status and amount (apart by less than the coarser source's
    unit) agree and, where both name one, user and transaction; time,
    signature and headers do not count. Of a status that is not mapped only
    the word counts.
    """
    if one.status is Status.UNKNOWN:
        return (one.key, one.status, one.part) == (other.key, other.status, other.part)
    coarser = max(one.unit_micros, other.unit_micros)
    return (
        one.key == other.key
        and one.status == other.status
        and abs(one.amount_micros - other.amount_micros) < coarser
        and not _differ(one.user_ref, other.user_ref)
        and not _differ(one.tx_hash, other.tx_hash)
    )


def _differ(one: str | None, other: str | None) -> bool:
    """A dialect that does not name a thing does not contradict one that does."""
    return None not in (one, other) and one != other
