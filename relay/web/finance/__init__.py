"""Own the pages of finance."""

from __future__ import annotations

from relay.web.finance import breaks, orders

BLUEPRINTS = (breaks.routes, orders.routes)
