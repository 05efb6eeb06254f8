"""Own which transfers back a credit whose witnesses name their transactions: what is there and free, and nothing that is another order's.

A transaction may pay several orders, each by a log of its own. One that no
scan has read yet is unknown here, and delays nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.evidence import Facts
from relay.core.facts import Named, TransferKey
from relay.core.orders import Order
from relay.core.policies import Received


@dataclass(frozen=True, slots=True)
class Backing:
    """The transfers that a credit takes, as far as it is known which; or a transaction all of whose money is other orders'."""

    takes: tuple[TransferKey, ...] = ()
    tx_hash: str = ""
    taken_by: tuple[str, ...] = ()


NONE = Backing()


def backing(order: Order, found: Received, facts: Facts) -> Backing:
    """Say what a credit of `found` stands on, of the transactions that its witnesses name and none of which is its own yet."""
    if not facts.named:
        return NONE
    takes = []
    for tx_hash, moved in _strange(facts).items():
        free = [one for one in moved if one.taken_by is None and _fits(one, order)]
        taken = sorted({one.taken_by for one in moved if one.taken_by is not None})
        if taken and not free:
            return Backing(tx_hash=tx_hash, taken_by=tuple(taken))
        takes += [one.transfer.key for one in _chosen(free, order, found, is_alone=len(moved) == 1)]
    return Backing(takes=tuple(takes))


def _strange(facts: Facts) -> dict[str, list[Named]]:
    own = {one.tx_hash for one in facts.transfers}
    found = defaultdict(list)
    for one in facts.named:
        if one.transfer.tx_hash not in own:
            found[one.transfer.tx_hash].append(one)
    return found


def _fits(one: Named, order: Order) -> bool:
    """As the ladder has it: the order's own address where it has one, else one of its user, or of nobody."""
    if order.chain not in (None, one.transfer.chain):
        return False
    if order.address is not None:
        return order.address == one.transfer.recipient
    return one.owner in (None, order.user_ref)


def _chosen(free: Sequence[Named], order: Order, found: Received, *, is_alone: bool) -> Sequence[Named]:
    """The one there is, or of several the one of the right amount; what that leaves open, the ladder decides in its turn."""
    if len(free) == 1 and (is_alone or order.address is not None):
        return free
    exact = [one for one in free if abs(one.transfer.amount_micros - found.micros) < found.unit_micros]
    return exact if len(exact) == 1 else ()
