"""Own the job that measures what the merchant's addresses hold, and proves the days by it."""

from __future__ import annotations

import logging
import os
import socket

from jobs.parts import runtime
from relay.bootstrap import now
from relay.core.chains import Chain
from relay.core.days import Calendar
from relay.edge.node_loading import nodes_of
from relay.edge.solidity import services_of
from relay.errors import RelayError
from relay.flows.balances import measure
from relay.flows.day_proofs import prove_days

log = logging.getLogger(__name__)


def run() -> int:
    """Measure the balances that are due on every chain that has nodes, and prove the days; return how many chains told them."""
    return sum(_measure(chain) == "measured" for chain in runtime().settings.chains.values() if chain.is_on)


def _measure(chain: Chain) -> str:
    """Measure on one chain; what is wrong with it stops no other."""
    settings = runtime().settings
    calendar = Calendar(settings.business_timezone, settings.business_cutoff)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    try:
        nodes, services = nodes_of(chain), services_of(chain)
        told = measure(runtime().engine, chain, nodes, calendar, owner=owner, now=now(), services=services)
        prove_days(runtime().engine, chain, calendar, now=now())
    except RelayError as error:
        log.exception("balances_failed", extra={"chain": chain.name, "error": error.code})
        return "failed"
    return told
