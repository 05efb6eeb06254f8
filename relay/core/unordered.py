"""Own the credit of money that came without an order: whose it is, and the order that is made for it.

The order's number follows from the transfer, so that it is made once whoever makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from relay.core.callbacks import Origin
from relay.core.facts import TransferKey
from relay.core.matching import OPEN, TAIL
from relay.core.orders import Order, Ruling, State
from relay.core.sources import Source
from relay.core.strays import Stray
from relay.errors import Conflict

FLAG = "unordered"
# The classes of money that may be proposed as somebody's credit.
PROPOSABLE = ("orphan_transfer", "ambiguous_match")
# What a wish about a transfer begins with.
PREFIX = "transfer:"
# So long a callback may come after such a credit, or before its transfer was seen, and be the word of the same money: as long as
# the ladder takes an order without an end to be open.
NEAR = OPEN + TAIL


@dataclass(frozen=True, slots=True)
class Unordered:
    """Money that was credited to its owner without an order lately, and that no callback explains yet."""

    namespace: str
    orderid: str
    user_ref: str
    amount_micros: int


def twin(order: Order, micros: int, unit_micros: int, unexplained: Iterable[Unordered]) -> str | None:
    """Return the credit that an order of the same user and sum may be the late word of, None where there is none."""
    for one in unexplained:
        is_its_user = (one.namespace, one.user_ref) == (order.namespace, order.user_ref)
        if is_its_user and abs(one.amount_micros - micros) < unit_micros:
            return one.orderid
    return None


def orderid_of(key: TransferKey) -> str:
    """Return the number of the order that is made for a transfer."""
    return "auto-{}-{}-{}".format(*key)


def subject_of(key: TransferKey) -> str:
    """Return what a wish to credit a transfer is about."""
    return PREFIX + "{}/{}/{}".format(*key)


def key_of(subject: str) -> TransferKey | None:
    """Return the transfer that a wish is about; None for a wish about something else."""
    if not subject.startswith(PREFIX):
        return None
    chain, tx_hash, log = subject.removeprefix(PREFIX).split("/")
    return (chain, tx_hash, int(log))


def credit(stray: Stray, sources: list[Source]) -> Ruling:
    """Return the order of a transfer, born and credited to its address's one owner in whole units of the source.

    `sources` are those of the namespace that the address belongs to; the first that may credit it does. Raises Conflict for
    money that has an order, is not final, has no owner, or was somebody else's to credit.
    """
    moved = stray.transfer
    if stray.unmatched not in ("nobody", "ambiguous") or stray.is_orphaned or not moved.is_final:
        raise Conflict("this money has an order meanwhile, or is not final")
    if stray.role != "deposit" or stray.owner is None or stray.left_us:
        raise Conflict("nobody owns the address that it came to; enter its owner with `addresses import`")
    source = next((one for one in sources if _may(one, moved.chain, moved.block_time)), None)
    if source is None:
        raise Conflict(
            "no source of its namespace may credit it: it observes, does not use this chain, or went live later"
        )
    micros = moved.amount_micros - moved.amount_micros % source.adapter.unit_micros
    if not micros:
        raise Conflict("it is less than the smallest sum of its source")
    order = Order(
        namespace=source.namespace,
        orderid=orderid_of(moved.key),
        source=source.name,
        state=State.SUCCEEDED,
        appid=source.appid,
        user_ref=stray.owner,
        amount_micros=micros,
        credited_micros=micros,
        flags=frozenset({FLAG}),
    )
    return Ruling(order=order, announce="recharge.succeeded", origin=Origin.OPERATOR, occurred_at=moved.block_time)


def _may(source: Source, chain: str, moment: datetime) -> bool:
    is_ours = source.live_from is None or moment >= source.live_from
    return source.credits and is_ours and chain in source.chains
