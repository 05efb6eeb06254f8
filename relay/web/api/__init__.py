"""Own the list of the API's parts."""

from __future__ import annotations

from relay.web.api import (
    addresses,
    audit,
    balances,
    brakes,
    breaks,
    callbacks,
    creation,
    days,
    deliveries,
    endpoints,
    events,
    explain,
    imports,
    orders,
    reconciliation,
    releases,
    replays,
    sources,
)

BLUEPRINTS = tuple(
    part.routes
    for part in (
        events,
        deliveries,
        endpoints,
        callbacks,
        orders,
        creation,
        releases,
        replays,
        imports,
        addresses,
        balances,
        sources,
        audit,
        reconciliation,
        breaks,
        brakes,
        days,
        explain,
    )
)
