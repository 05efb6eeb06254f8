"""Own the asking of nodes whether a finding holds: what is stated was seen by two, or is said to be seen by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.core.chains import Chain
from relay.core.facts import Transfer
from relay.core.logs import TRANSFER, Log, parse_log, transfer_of
from relay.errors import NodeFault
from relay.flows.chain_reading import Reader
from relay.ports import Node

ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Testimony:
    """How many nodes confirm a finding, and whether one contradicts it. `asked` are all there are."""

    agree: int
    asked: int
    contradicted: bool

    @property
    def is_enough(self) -> bool:
        """Two agree, or the only one there is says so, and nobody objects; else a run that needs it is incomplete."""
        return not self.contradicted and self.agree >= min(ENOUGH, max(self.asked, 1))

    @property
    def words(self) -> str:
        """How it is stated."""
        return "one witness" if self.agree == 1 else f"{self.agree} witnesses"


def ask_whether_gone(nodes: Sequence[Node], tx_hash: str) -> Testimony:
    """Ask every node for the receipt of a transaction; one that does not answer says nothing."""
    told = [_receipt(node, tx_hash) for node in nodes]
    stands = any(isinstance(one, Mapping) and one.get("status") == "0x1" for one in told)
    gone = sum(one is None or (isinstance(one, Mapping) and one.get("status") == "0x0") for one in told)
    return Testimony(gone, len(nodes), stands)


def _receipt(node: Node, tx_hash: str) -> object:
    """A receipt, None where there is none; anything else is no answer."""
    try:
        (told,) = node.ask([("eth_getTransactionReceipt", [tx_hash])])
    except NodeFault as error:
        return error
    return told


def confirm_transfer(nodes: Sequence[Node], chain: Chain, moved: Transfer) -> Testimony:
    """Ask every node whether a transfer stands: a receipt of a success, in that very block, with that very log.

    A node that has the receipt otherwise, or none, contradicts; one that does not answer says nothing.
    """
    told = [_receipt(node, moved.tx_hash) for node in nodes]
    said = [_stands(one, chain, moved) for one in told if one is None or _is_receipt(one)]
    return Testimony(sum(said), len(nodes), not all(said))


def confirm_absence(
    nodes: Sequence[Node], chain: Chain, address: str, blocks: tuple[int, int], known: Sequence[Transfer]
) -> Testimony:
    """Ask every node whether, beside the `known`, no transfer came to an address in blocks (first, last, both included).

    That an order was credited without a transfer is stated by this. A node
    whose head is not past the blocks, or that does not answer, says nothing.
    """
    agree, contradicted = 0, False
    mine = {one.key for one in known}
    for node in nodes:
        try:
            found = _received(Reader(chain, node), chain, address, blocks)
        except NodeFault:
            continue
        agree += found <= mine
        contradicted = contradicted or not found <= mine
    return Testimony(agree, len(nodes), contradicted)


def _received(reader: Reader, chain: Chain, address: str, blocks: tuple[int, int]) -> set[tuple[str, str, int]]:
    found = set()
    for first in range(blocks[0], blocks[1] + 1, chain.span):
        last = min(first + chain.span - 1, blocks[1])
        moved = reader.read_range(first, last, frozenset({address})).transfers
        found |= {one.key for one in moved if one.recipient == address}
    return found


def _is_receipt(told: object) -> bool:
    return isinstance(told, Mapping) and told.get("status") in {"0x0", "0x1"}


def _stands(told: object, chain: Chain, moved: Transfer) -> bool:
    if not isinstance(told, Mapping) or told["status"] != "0x1" or not isinstance(told.get("logs"), list):
        return False
    try:
        logs = [parse_log(one) for one in told["logs"]]
        return any(_is_of(log, chain, moved) for log in logs)
    except ValueError:
        return False


def _is_of(log: Log, chain: Chain, moved: Transfer) -> bool:
    if (log.index, log.block_hash, log.topics[:1]) != (moved.log_index, moved.block_hash, (TRANSFER,)):
        return False
    found = transfer_of(log, chain, block_time=moved.block_time)
    names = ("contract", "sender", "recipient", "amount_micros", "rest")
    return found is not None and all(getattr(found, name) == getattr(moved, name) for name in names)
