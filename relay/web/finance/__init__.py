"""Own the pages of finance."""

from __future__ import annotations

from relay.web.finance import brakes, breaks, cash, closes, days, exports, orders, recoveries, runs, trend

BLUEPRINTS = (
    brakes.routes,
    days.routes,
    closes.routes,
    exports.routes,
    breaks.routes,
    cash.routes,
    orders.routes,
    recoveries.routes,
    runs.routes,
    trend.routes,
)
