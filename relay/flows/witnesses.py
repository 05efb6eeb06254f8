"""Own the asking of nodes whether a finding holds: what is stated was seen by two, or is said to be seen by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from relay.core.chains import Chain
from relay.core.logs import parse_header, quantity
from relay.core.ranges import shrunk
from relay.core.witnesses import in_words
from relay.errors import NodeFault
from relay.flows.chain_reading import Reader, TooMuch
from relay.ports import Node, NodeError

ENOUGH = 2
TransferKey = tuple[str, str, int]


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
    def state(self) -> str:
        """How it is kept: `confirmed`, `contradicted`, or `unanswered` while too few have said anything."""
        return "contradicted" if self.contradicted else "confirmed" if self.is_enough else "unanswered"

    @property
    def words(self) -> str:
        """How it is stated."""
        return in_words(self.agree)


def ask_whether_gone(nodes: Sequence[Node], chain: Chain, tx_hash: str, *, final: int) -> Testimony:
    """Ask every node for the receipt of a transaction.

    One that does not answer says nothing, nor does one of another chain, or
    that lacks block `final`: what it has never heard of need not be gone.
    """
    told = [_receipt(node, chain, tx_hash, final) for node in nodes]
    stands = any(isinstance(one, Mapping) and one.get("status") == "0x1" for one in told)
    # Mined again and failed, a transaction moves nothing: that is gone too.
    gone = sum(one is None or (isinstance(one, Mapping) and one.get("status") == "0x0") for one in told)
    return Testimony(gone, len(nodes), stands)


def _receipt(node: Node, chain: Chain, tx_hash: str, final: int) -> object:
    """A receipt, None where there is none; anything else is no answer."""
    block = ("eth_getBlockByNumber", [hex(final), False])
    try:
        chain_id, known, told = node.ask([("eth_chainId", []), block, ("eth_getTransactionReceipt", [tx_hash])])
        is_here = quantity(chain_id) == chain.chain_id and parse_header(known).number == final
    except (NodeFault, ValueError) as error:
        return error
    return told if is_here else NodeError(0, "is not where the transaction was")


def confirm_absence(
    nodes: Sequence[Node], chain: Chain, address: str, blocks: tuple[int, int], known: Collection[TransferKey]
) -> Testimony:
    """Ask every node whether, beside the `known` (by their keys), no transfer came to an address in blocks (first, last, both included).

    That an order was credited without a transfer is stated by this. A node
    whose head is not past the blocks, that is on another chain, or that does
    not answer, says nothing.
    """
    agree, contradicted = 0, False
    mine = set(known)
    for node in nodes:
        try:
            reader = Reader(chain, node)
            _, fault = reader.tips(())
            if fault is not None:
                continue
            found = _received(reader, chain, address, blocks)
        except NodeFault:
            continue
        agree += found <= mine
        contradicted = contradicted or not found <= mine
    return Testimony(agree, len(nodes), contradicted)


def _received(reader: Reader, chain: Chain, address: str, blocks: tuple[int, int]) -> set[tuple[str, str, int]]:
    found, first, span = set(), blocks[0], chain.span
    while first <= blocks[1]:
        last = min(first + span - 1, blocks[1])
        try:
            moved = reader.read_range(first, last, frozenset({address})).transfers
        except TooMuch as error:
            # A scan has learnt what its node bears, which need not be what this one does.
            if first == last:
                raise
            span = shrunk(last - first + 1, error.detail, first=first)
            continue
        found |= {one.key for one in moved if one.recipient == address}
        first = last + 1
    return found
