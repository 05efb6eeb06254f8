"""Own the list of the API's parts."""

from __future__ import annotations

from relay.web.api import (
    addresses,
    audit,
    balances,
    callbacks,
    creation,
    days,
    deliveries,
    endpoints,
    events,
    explain,
    imports,
    orders,
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
        days,
        explain,
    )
)
