"""Own the rules of money that is no order's: what came without an order, what left, and what no transfer explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.amounts import format_micros
from relay.core.balances import class_of_outflow, spell_units
from relay.core.chain_addresses import family_of, show_address
from relay.core.facts import Transfer
from relay.core.hashes import show_hash
from relay.core.logs import TokenEvent

# Whose money is the merchant's.
OURS = frozenset({"deposit", "collection"})
_UNMATCHED = {"nobody": "orphan_transfer", "ambiguous": "ambiguous_match"}
# How long an order is waited for that will take a transfer, where no source says it.
GRACE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A transfer without an order, `unmatched` for the reason that the matching gave, and what the book says of both its ends."""

    transfer: Transfer
    unmatched: str | None
    is_orphaned: bool = False
    role: str | None = None
    namespace: str | None = None
    owner: str | None = None
    sender_role: str | None = None
    sender_namespace: str | None = None

    @property
    def left_us(self) -> bool:
        """It is our money that went somewhere."""
        return self.sender_role in OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a namespace's sources say: how long an order is waited for, and since when money is ours to credit."""

    grace_s: int = GRACE_S
    live_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two measured balances of an address in base units, and what final transfers moved between their blocks."""

    chain: str
    contract: str
    address: str
    decimals: int
    low_block: int
    high_block: int
    before: int
    received: int
    sent: int
    after: int

    @property
    def gap(self) -> int:
        """What is there beyond what must be; negative for what is missing."""
        return self.after - (self.before + self.received - self.sent)


def class_of(stray: Stray) -> str | None:
    """Return the class of break that a transfer is; None for one that is ordinary, not final, or an order's."""
    if stray.unmatched is None or stray.is_orphaned or not stray.transfer.is_final:
        return None
    if stray.left_us:
        kind = class_of_outflow(stray.role)
        # Money that is sent to its own sender has left nobody.
        is_moved = stray.transfer.sender != stray.transfer.recipient and stray.transfer.amount_micros
        return kind if kind == "unexplained_outflow" and is_moved else None
    if stray.role != "deposit":
        return None
    return _UNMATCHED.get(stray.unmatched) if stray.transfer.amount_micros else "dust_or_poison"


def due_at(stray: Stray, kind: str, bounds: Bounds) -> datetime | None:
    """Return when a transfer is a break of that class; None: never, for whoever ran before us dealt with it."""
    moment = stray.transfer.block_time
    if bounds.live_from is not None and moment < bounds.live_from:
        return None
    return moment + timedelta(seconds=bounds.grace_s) if kind in _UNMATCHED.values() else moment


def evidence_of_stray(stray: Stray, orders: Sequence[str] = ()) -> dict[str, str]:
    """Return what is shown of a transfer, hash and addresses as their chain's people know them."""
    moved, family = stray.transfer, family_of(stray.transfer.chain)
    told = {
        "amount": format_micros(moved.amount_micros),
        "chain": moved.chain,
        "tx_hash": show_hash(moved.tx_hash, family),
        "sender": show_address(moved.sender, family),
        "recipient": show_address(moved.recipient, family),
        "block_number": str(moved.block_number),
    }
    if not stray.left_us:
        told["owner"] = stray.owner or "nobody"
    return told | ({"orders": ", ".join(orders)} if orders else {})


def evidence_of_gap(interval: Interval, events: Sequence[TokenEvent]) -> Mapping[str, str]:
    """Return the sum that does not come out, in the token's own places, and the events that may be why."""
    family = family_of(interval.chain)
    units = {
        "opening": interval.before,
        "received": interval.received,
        "sent": interval.sent,
        "expected": interval.before + interval.received - interval.sent,
        "measured": interval.after,
        "gap": interval.gap,
    }
    told = {name: spell_units(value, interval.decimals) for name, value in units.items()}
    told |= {
        "chain": interval.chain,
        "address": show_address(interval.address, family),
        "contract": show_address(interval.contract, family),
        "blocks": f"{interval.low_block} to {interval.high_block}",
    }
    seen = [f"{one.kind} in {show_hash(one.tx_hash, family)}" for one in events]
    return told | ({"events": ", ".join(seen)} if seen else {})
