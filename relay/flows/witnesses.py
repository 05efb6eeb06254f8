"""Own the asking of nodes whether a transaction is gone: what is stated of a loss was seen by two, or is said to be seen by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.errors import NodeFault
from relay.ports import Node

ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Testimony:
    """How many nodes say that a transaction is gone, and whether one says that it stands. `asked` are all there are."""

    gone: int
    asked: int
    contradicted: bool

    @property
    def is_enough(self) -> bool:
        """Two agree, or the only one there is says so, and nobody objects."""
        return not self.contradicted and self.gone >= min(ENOUGH, max(self.asked, 1))

    @property
    def words(self) -> str:
        """How it is stated."""
        return "one witness" if self.gone == 1 else f"{self.gone} witnesses"


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
