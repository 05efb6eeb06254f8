"""Own the job that reads the chains and lets orders meet what was found."""

from __future__ import annotations

import logging
import os
import random
import socket

from jobs import runtime
from relay.bootstrap import new_event_id, now
from relay.core.chains import Chain
from relay.edge.nodes import nodes_of
from relay.errors import RelayError
from relay.flows.matching import match
from relay.flows.scan import scan

log = logging.getLogger(__name__)


def run() -> int:
    """Scan every chain that has nodes, once, then match what was found; return how many were read."""
    scanned = sum(_scan(chain) == "scanned" for chain in runtime().settings.chains.values() if chain.is_on)
    if match(runtime().engine, runtime().sources, now=now(), new_id=new_event_id):
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
