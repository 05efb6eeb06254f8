"""Own what a node says of one transaction: whether it is there, whether it worked, and which tokens it moved.

Sources: Ethereum execution API, eth_getTransactionReceipt and eth_getTransactionByHash; java-tron answers in the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.core.logs import TRANSFER, parse_log, quantity

MOST_MOVES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMove:
    """A Transfer log of any token, in its base units; addresses in machine spelling."""

    contract: str
    sender: str
    recipient: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A transaction on a chain: absent, pending, reverted or mined, in which block, and its moves."""

    state: str
    block_number: int | None = None
    moves: tuple[TokenMove, ...] = ()


ABSENT, PENDING = Receipt(state="absent"), Receipt(state="pending")


def read_receipt(receipt: object, transaction: object) -> Receipt:
    """Return what a node's two answers say; ValueError for what is neither null nor of their shape."""
    if receipt is None:
        return ABSENT if transaction is None else PENDING
    if not isinstance(receipt, Mapping) or not isinstance(receipt.get("logs"), list):
        raise ValueError("is not a receipt")  # noqa: TRY004  # a node that answers wrongly is one kind of fault
    number = quantity(receipt.get("blockNumber"))
    if receipt.get("status") != "0x1":
        return Receipt(state="reverted", block_number=number)
    return Receipt(state="mined", block_number=number, moves=tuple(_moves(receipt["logs"])[:MOST_MOVES]))


def _moves(logs: Sequence[object]) -> list[TokenMove]:
    found = []
    for raw in logs:
        log = parse_log(raw)
        # A token whose things are not sums tells a third topic.
        if log.topics[:1] == (TRANSFER,) and len(log.topics) == 3 and len(log.data) == 66:
            sender, recipient = ("0x" + topic[26:] for topic in log.topics[1:])
            found.append(TokenMove(contract=log.contract, sender=sender, recipient=recipient, units=int(log.data, 16)))
    return found
