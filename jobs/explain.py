"""Own the job that asks the nodes about one transaction that somebody wants explained."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import now
from relay.edge.node_loading import nodes_of
from relay.flows.explaining import ask_nodes


def run(tx_hash: str) -> None:
    """Ask about a transaction, by its hash in machine spelling, and keep the answer."""
    ask_nodes(runtime().engine, runtime().settings.chains, nodes_of, tx_hash, now=now())
