"""Own what a run announces of breaks: new ones, the worst first, then those that are over, as many as are told one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from relay.flows.ledger import Ledger
from relay.flows.settling import Settled
from relay.store import intake

# Of one run; what is beyond is one alert.
MOST_TOLD = 200


def tell(
    connection: Connection, settled: Settled, *, room: int, now: datetime, new_id: Callable[[datetime], str]
) -> int:
    """Announce `room` of them at most; return how many were announced. The feed lock is held from here on."""
    most = min(room, len(settled.fresh) + len(settled.cleared))
    if not most:
        return 0
    known, feed = intake.open_orders(connection, [], now=now)
    ledger = Ledger(known, feed, now=now, new_id=new_id)
    worst_first = sorted(settled.fresh, key=lambda one: (one.severity, -(one.amount_micros or 0)))
    for finding in worst_first[:most]:
        ledger.announce_break(finding)
    for row in settled.cleared[: max(0, most - len(worst_first))]:
        ledger.announce_resolved({**row, "resolved_by": "reconciler", "note": None})
    ledger.write(connection)
    return most
