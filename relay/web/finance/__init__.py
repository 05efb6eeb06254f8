"""Own the pages of finance."""

from __future__ import annotations

from relay.web.finance import breaks, days, orders

BLUEPRINTS = (days.routes, breaks.routes, orders.routes)
