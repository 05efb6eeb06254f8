"""Own the breaks of late facts: what a provider says of a sealed day is part of the open one, and a person accepts it there."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping

from relay.core.amounts import format_micros
from relay.core.breaks import CLASSES
from relay.core.days import ONE
from relay.core.events import rfc3339
from relay.core.orders import Finding
from relay.flows.close import Desk
from relay.flows.days import day_named
from relay.flows.ledger import Ledger
from relay.store import break_list, day_facts, intake, reconciling
from relay.store.engine import FEED_LOCK, reading, writing
from relay.store.rows import break_values

log = logging.getLogger(__name__)

KIND = "prior_period_change"
# Of one day; who meets more has another trouble, and the statement has them all.
MOST = 500


def open_breaks(desk: Desk, *, now: datetime) -> int:
    """Open a break for each late fact of the present day and of the one before, and announce it; return how many are new.

    One that a person has closed stays closed until the fact says another amount.
    """
    today = desk.calendar.day_at(now)
    with reading(desk.engine) as connection:
        days = [day_named(connection, desk.calendar, of) for of in (today.date - ONE, today.date)]
        late = [row for day in days for row in day_facts.late_items(connection, day, limit=MOST)]
        fresh = [found for found in map(_finding, late) if not _is_known(connection, found)]
    if fresh:
        _open(desk, fresh, now)
    log.info("late_facts_found", extra={"late": len(late), "opened": len(fresh)})
    return len(fresh)


def _open(desk: Desk, fresh: Sequence[Finding], now: datetime) -> None:
    """Only what is new takes the feed's lock: callbacks wait for it."""
    with writing(desk.engine, lock=FEED_LOCK) as connection:
        reconciling.open_breaks(connection, [break_values(found, now) for found in fresh])
        known, feed = intake.open_orders(connection, [], now=now)
        ledger = Ledger(known, feed, now=now, new_id=desk.new_id)
        for found in fresh:
            ledger.announce_break(found)
        ledger.write(connection)


def _finding(row: RowMapping) -> Finding:
    told = {
        "amount": format_micros(row["micros"]),
        "occurred_at": rfc3339(row["occurred_at"]),
        "told_at": rfc3339(row["provider_at"]),
    }
    return Finding(
        kind=KIND,
        severity=CLASSES[KIND].severity,
        source=row["source"],
        key=(row["namespace"], row["orderid"]),
        amount_micros=abs(row["micros"]),
        evidence=told,
    )


def _is_known(connection: Connection, found: Finding) -> bool:
    row = break_list.find(connection, found.id)
    return row is not None and json.loads(row["evidence"]) == dict(found.evidence)
