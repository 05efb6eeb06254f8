"""Own what a configured source is: whose callbacks, how they are checked, and what they may cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relay.core.adapters import Ack, Adapter
from relay.core.signatures import Secret
from relay.core.statements import StatementMap

__all__ = ["Ack", "Brake", "Secret", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """How much may be recovered in a rolling window before a person has to release: orders, and micro-USDT."""

    count: int = 50
    micros: int = 50_000_000_000
    window_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One section of sources.toml, checked. Amounts are micro-USDT.

    `evidence` names the witnesses that must agree before a credit, `recover`
    those that a recovery would ask; `base_url` has no slash at its end, and
    `account` holds what calls to the provider name as `account.…`. It `is_beside_chains`
    when a source of its namespace, itself or another, has a chain: orders and money are theirs in common.
    """

    name: str
    namespace: str
    adapter: Adapter
    secrets: tuple[Secret, ...]
    appid: str | None = None
    mode: str = "live"
    live_from: datetime | None = None
    amount_policy: str = "as_received"
    minimum_micros: int = 0
    tolerance_micros: int = 0
    unknown_orders: str = "accept"
    hold_above_micros: int | None = None
    hold_above_hourly_micros: int | None = None
    evidence: frozenset[str] = frozenset({"signature"})
    recover: str = "off"
    brake: Brake = field(default_factory=Brake)
    base_url: str = ""
    account: Mapping[str, str] = field(default_factory=dict, repr=False)
    statement: StatementMap | None = None
    upstream_handler: str = ""
    chains: tuple[str, ...] = ()
    is_beside_chains: bool = False
    address_kind: str = "dedicated"
    allow_ips: tuple[str, ...] = ()
    max_age_s: int = 0
    late_after_s: int = 15
    grace_s: int = 300
    deliver_within_s: int = 900
    ack: Ack = field(default_factory=Ack)

    @property
    def credits(self) -> bool:
        """An observed source is verified, kept and matched, but never credits."""
        return self.mode == "live"

    @property
    def own_words(self) -> dict[str, str]:
        """What a call to the provider may name of the account (see `relay.core.calls`); the secret is the one that signs."""
        account = {f"account.{name}": text for name, text in self.account.items()}
        return {"appid": self.appid or "", "secret": self.secrets[0].value if self.secrets else ""} | account

    @property
    def needs_evidence(self) -> bool:
        """A signature alone does not credit."""
        return len(self.evidence) > 1
