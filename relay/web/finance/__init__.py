"""Own the pages of finance."""

from __future__ import annotations

from relay.web.finance import breaks, closes, days, exports, orders, runs

BLUEPRINTS = (days.routes, closes.routes, exports.routes, breaks.routes, orders.routes, runs.routes)
