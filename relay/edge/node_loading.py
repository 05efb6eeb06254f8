"""Own how a process comes to the nodes of its chains.

What asks them brings web3, a second of work and tens of megabytes. It is loaded
with the first chain that is read: who reads none does without.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence

from relay.core.chains import Chain
from relay.ports import Node


def nodes_of(chain: Chain) -> Sequence[Node]:
    """Return the nodes of a chain, the preferred first."""
    nodes: Sequence[Node] = importlib.import_module("relay.edge.nodes").nodes_of(chain)
    return nodes


def prepare(chains: Iterable[Chain]) -> None:
    """Load what asks nodes if any of the chains is read: a process that forks does so before, once for all."""
    if any(chain.is_on for chain in chains):
        importlib.import_module("relay.edge.nodes")
