"""Own the events that tell whether a token works, and for which of our addresses."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from relay.core.logs import TokenEvent
from relay.core.token_health import LISTING, TURNING
from relay.store.chain_findings import OWN_ROLES
from relay.store.rows import addresses, token_events

_NAMES = ("chain", "tx_hash", "log_index", "block_number", "block_hash", "contract", "kind", "account", "data")


def turns(connection: Connection) -> list[TokenEvent]:
    """Return the standing events that turn a token off or on, of black lists those about our addresses, in their order."""
    ours = and_(
        addresses.c.chain == token_events.c.chain,
        addresses.c.address == token_events.c.account,
        addresses.c.role.in_(OWN_ROLES),
    )
    query = (
        select(*(token_events.c[name] for name in _NAMES))
        .select_from(token_events.outerjoin(addresses, ours))
        .where(
            token_events.c.kind.in_(TURNING),
            token_events.c.orphaned_at.is_(None),
            or_(token_events.c.kind.not_in(LISTING), addresses.c.id.is_not(None)),
        )
        .order_by(token_events.c.chain, token_events.c.block_number, token_events.c.log_index)
    )
    return [TokenEvent(**row) for row in connection.execute(query).mappings()]
