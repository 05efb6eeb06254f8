"""Own what follows for a credited order when a reorg takes its transfer away for good, and when the transfer comes back.

Pure rules; when they are due is `relay.core.finality.announcement`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from relay.core.callbacks import Origin
from relay.core.orders import Change, Finding, Order, Ruling, State

KIND = "reorged_out"


def reverse(order: Order, *, standing_micros: int, generation: int, evidence: Mapping[str, str]) -> Ruling:
    """Take back what no transfer stands behind any more; nothing follows while others cover the whole credit.

    `standing_micros` is what the order's other transfers amount to,
    `generation` which reversal of the order this is.
    """
    net = min(order.credited_micros, standing_micros)
    lost = order.credited_micros - net
    if not lost:
        return Ruling()
    state = order.state if net else State.REVERSED
    return Ruling(
        order=replace(order, state=state, version=order.version + 1, credited_micros=net),
        announce="recharge.reversed",
        change=Change(-lost, KIND, generation),
        finding=Finding(
            kind=KIND, severity=1, source=order.source, key=order.key, amount_micros=lost, evidence=evidence
        ),
        origin=Origin.RECONCILER,
    )


def reinstate(order: Order, *, micros: int, generation: int) -> Ruling:
    """Give back what was taken; `generation` is the reversal that this undoes."""
    # One that is held meanwhile stays so: the money is back, and what it is held for is not answered.
    state = State.SUCCEEDED if order.state == State.REVERSED else order.state
    credited = order.credited_micros + micros
    return Ruling(
        order=replace(order, state=state, version=order.version + 1, credited_micros=credited),
        announce="recharge.reinstated",
        change=Change(micros, "mined_again", generation),
        origin=Origin.RECONCILER,
    )
