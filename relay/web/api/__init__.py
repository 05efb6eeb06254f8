"""Own the list of the API's parts."""

from __future__ import annotations

from relay.web.api import audit, callbacks, deliveries, endpoints, events, orders, sources

BLUEPRINTS = tuple(part.routes for part in (events, deliveries, endpoints, callbacks, orders, sources, audit))
