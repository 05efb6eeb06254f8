"""Own when a block is final, and when a credit that lost its transfer is taken back or given again.

Tags: Ethereum execution API, "Block tag"; java-tron answers `finalized` with its solidified block.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.chains import Chain

_TAGS = {"finalized": "finalized", "solidified": "finalized", "safe": "safe"}


def tag_of(chain: Chain) -> str | None:
    """Return the tag that a node is asked for its final block with; None where confirmations are counted."""
    return _TAGS.get(chain.finality)


def final_block(chain: Chain, *, head: int, tagged: int | None, before: int | None) -> int | None:
    """Return the highest final block, None while there is none.

    What was final stays final (`before`), and a node that calls more final than it has is not believed beyond its head.
    """
    said = head - chain.confirmations if tag_of(chain) is None else tagged
    known = [number for number in (before, None if said is None else min(said, head)) if number is not None]
    return max((number for number in known if number >= 0), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A transfer behind an announced credit: where it was, and what became of it.

    `back` tells that the same transaction pays the same address the same
    amount in a canonical block; its log index may be another one then.
    """

    block_number: int
    orphaned_at: datetime | None
    back: bool
    reversed_at: datetime | None = None


def announcement(lost: Lost, chain: Chain, *, final: int | None, now: datetime) -> str | None:
    """Return the type of event that is due, or None.

    A reversal waits until the branch that replaced the block is final and the
    chain's grace is over: the usual case is that the transfer is mined again.
    """
    stands = lost.back or lost.orphaned_at is None
    if lost.reversed_at is not None:
        return "recharge.reinstated" if stands else None
    if stands or lost.orphaned_at is None or final is None or final < lost.block_number:
        return None
    return "recharge.reversed" if now - lost.orphaned_at >= timedelta(seconds=chain.grace_s) else None
