"""Own the lines of the provider's book: what was ordered, what the chain showed of it, and what was sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

# The two dialects that the relay makes orders in; each is the name of the source that its callbacks come to.
V1, V2 = "crossing", "crossing-v2"
UNIT_MICROS = 100


@dataclass(frozen=True, slots=True)
class Sent:
    """One posting of a callback: when it began (Unix seconds), what came back, and how long that took."""

    at_s: float
    status: int | None
    answer: str
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Payment:
    """What the provider itself saw on the chain, and when."""

    tx_hash: str
    at_s: float


@dataclass(slots=True)
class Entry:
    """One line. `amount` counts ten-thousandths of a USDT, as the callback of V1 does: what was asked for, then what was paid.

    `number` is the provider's own; it calls a payment one when enough blocks
    confirm it. What is `denied` is called back as paid, and told as failed to who
    asks. `forged_from` names the order whose
    signature a forgery borrowed: nobody paid for that line.
    """

    orderid: str
    user: str
    amount: int
    placed_at_s: float = field(default_factory=time.time)
    dialect: str = V1
    number: str = ""
    address: str = ""
    callback_url: str = ""
    payment: Payment | None = None
    confirmed: bool = False
    lost: bool = False
    scaled: bool = False
    denied: bool = False
    forged_from: str | None = None
    sent: list[Sent] = field(default_factory=list)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return the line that was spelled as JSON."""
        payment = value["payment"] and Payment(**value["payment"])
        return cls(**{**value, "payment": payment, "sent": [Sent(**sent) for sent in value["sent"]]})

    @property
    def paid(self) -> Payment | None:
        """The payment, once the provider stands by it."""
        return self.payment if self.confirmed else None
