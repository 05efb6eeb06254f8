"""Own the job that reads the chains and lets orders meet what was found."""

from __future__ import annotations

import logging
import os
import random
import socket

from jobs.parts import runtime
from relay.bootstrap import new_event_id, now
from relay.core.chains import Chain
from relay.edge.node_loading import nodes_of
from relay.errors import RelayError
from relay.flows import absences, claims
from relay.flows.matching import match
from relay.flows.reversals import Court, judge_reorgs
from relay.flows.scan import scan

log = logging.getLogger(__name__)


def run() -> int:
    """Scan every chain that has nodes, once, then let orders follow what was found and lost; return how many were read."""
    chains = runtime().settings.chains
    scanned = sum(_scan(chain) == "scanned" for chain in chains.values() if chain.is_on)
    claims.ask_nodes(runtime().engine, chains, nodes_of, now=now())
    absences.ask_nodes(runtime().engine, chains, nodes_of, now=now())
    court = Court(engine=runtime().engine, chains=chains, nodes_of=nodes_of, new_id=new_event_id)
    changed = match(runtime().engine, runtime().sources, now=now(), new_id=new_event_id)
    changed += judge_reorgs(court, now=now())
    if changed:
        runtime().memory.ring()
    return scanned


def _scan(chain: Chain) -> str:
    """Scan one chain; what is wrong with it stops no other."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    try:
        return scan(runtime().engine, chain, nodes_of(chain), owner=owner, clock=now, jitter=random.random)
    except RelayError as error:
        log.exception("scan_failed", extra={"chain": chain.name, "error": error.code})
        return "failed"
