"""Own what a run has seen so far, and the manifest that says it: the same cut and facts give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from relay.core.triage import RULES, Judged, Story
from relay.store.agreement import Agreed
from relay.store.rows import spelled

_MODULUS = 2**256


@dataclass(slots=True)
class Tally:
    """Counts and sums; `orders` is a sum over a hash of each, so that it does not depend on who was looked at first."""

    verdicts: Counter[str] = field(default_factory=Counter)
    micros: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    cleared: int = 0
    told: int = 0
    looked_at: int = 0
    orders: int = 0

    def count_agreed(self, rows: Iterable[Agreed]) -> None:
        """Count orders of which all witnesses say what was credited."""
        for row in rows:
            micros = row.credited_micros
            self.verdicts["matched"] += 1
            self.micros["credited"] += micros
            self.micros["callback"] += micros
            self.micros["provider"] += micros if row.has_provider else 0
            self.micros["chain"] += micros if row.has_moved else 0
            self._add(row.namespace, row.orderid, "matched", "")

    def count_judged(self, story: Story, one: Judged) -> None:
        """Count an order that was judged."""
        self.verdicts[one.verdict] += 1
        self.micros["credited"] += story.credited_micros
        self.micros["callback"] += story.told_micros or 0
        self.micros["provider"] += (story.provider_micros or 0) if story.is_provider_paid else 0
        self.micros["chain"] += story.final_micros
        self._add(*story.key, one.verdict, ",".join(sorted(found.kind for found in one.breaks)))

    def _add(self, *words: str) -> None:
        digest = sha256("\x1f".join(words).encode()).digest()
        self.orders = (self.orders + int.from_bytes(digest)) % _MODULUS

    def manifest(self, state: str, reason: str, *, cut: Mapping[str, Any], still_open: Mapping[str, Any]) -> str:
        """No time, id or duration in it."""
        return spelled(
            {
                "format": 2,
                "rules": RULES,
                "state": state,
                "reason": reason,
                "cut": cut,
                "judged": dict(self.verdicts),
                "micros": dict(self.micros),
                "opened": self.opened,
                "cleared": self.cleared,
                "open": still_open,
                "orders_sha256": f"{self.orders:064x}",
            }
        )
