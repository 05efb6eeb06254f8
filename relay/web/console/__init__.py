"""Own the pages by which people get in, and see how the house stands."""

from __future__ import annotations

from relay.web.console import account, home, setup, sign_in

BLUEPRINTS = (sign_in.routes, setup.routes, account.routes, home.routes)
