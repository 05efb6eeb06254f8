"""Own what a configured source is: whose callbacks, how they are checked, and what they may cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from relay.core.adapters import Ack, Adapter
from relay.core.signatures import Secret

__all__ = ["Ack", "Secret", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One section of sources.toml, checked. Amounts are micro-USDT."""

    name: str
    namespace: str
    adapter: Adapter
    secrets: tuple[Secret, ...]
    appid: str | None = None
    mode: str = "live"
    live_from: datetime | None = None
    amount_policy: str = "as_received"
    minimum_micros: int = 0
    unknown_orders: str = "accept"
    hold_above_micros: int | None = None
    allow_ips: tuple[str, ...] = ()
    max_age_s: int = 0
    grace_s: int = 300
    ack: Ack = field(default_factory=Ack)

    @property
    def credits(self) -> bool:
        """An observed source is verified, kept and matched, but never credits."""
        return self.mode == "live"
