"""Own the one banner that says whether the tokens work."""

from __future__ import annotations

from sqlalchemy import Connection

from relay.core.token_health import ailments
from relay.store.token_health import turns


def banner(connection: Connection) -> str:
    """Return what pages and the readiness probe say of the tokens; "" when nothing is the matter."""
    return "; ".join(ailments(turns(connection)))
