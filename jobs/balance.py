"""Own the job that measures what the merchant's addresses hold."""

from __future__ import annotations

import logging
import os
import socket

from jobs import runtime
from relay.bootstrap import now
from relay.core.chains import Chain
from relay.core.days import Calendar
from relay.edge.nodes import nodes_of
from relay.errors import RelayError
from relay.flows.balances import measure

log = logging.getLogger(__name__)


def run() -> int:
    """Measure the balances that are due on every chain that has nodes; return how many chains told them."""
    return sum(_measure(chain) == "measured" for chain in runtime().settings.chains.values() if chain.is_on)


def _measure(chain: Chain) -> str:
    """Measure on one chain; what is wrong with it stops no other."""
    settings = runtime().settings
    calendar = Calendar(settings.business_timezone, settings.business_cutoff)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    try:
        return measure(runtime().engine, chain, nodes_of(chain), calendar, owner=owner, now=now())
    except RelayError as error:
        log.exception("balances_failed", extra={"chain": chain.name, "error": error.code})
        return "failed"
