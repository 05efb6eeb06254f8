"""Own the pages by which people get in, and see how the house stands."""

from __future__ import annotations

from relay.web.console import (
    account,
    callbacks,
    deliveries,
    endpoints,
    events,
    home,
    replays,
    search,
    setup,
    sign_in,
    sources,
)

BLUEPRINTS = (
    sign_in.routes,
    setup.routes,
    account.routes,
    home.routes,
    search.routes,
    sources.routes,
    events.routes,
    deliveries.routes,
    replays.routes,
    endpoints.routes,
    callbacks.routes,
)
