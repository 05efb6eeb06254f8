"""Own what is let go of with time; rows that bear a key stay for ever."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Engine

from relay.flows.committer import REJECTED_IN_ALL, REJECTED_OF_A_KIND
from relay.store import firings, heartbeats, idempotency, people, sign_ins, workbooks
from relay.store.engine import writing
from relay.store.intake import evict_rejected

log = logging.getLogger(__name__)

FIRINGS_KEPT = timedelta(days=2)
HEARTBEATS_KEPT = timedelta(days=1)
WORKBOOKS_KEPT = timedelta(days=1)


def retain(engine: Engine, *, now: datetime) -> None:
    """Let go of rejected callbacks beyond their bounds, of old firings, workbooks and repeats, of processes and sessions that are over."""
    with writing(engine) as connection:
        rejected = evict_rejected(connection, most_of_a_kind=REJECTED_OF_A_KIND, most=REJECTED_IN_ALL)
    with writing(engine) as connection:
        rung = firings.prune(connection, before=now - FIRINGS_KEPT)
        gone = heartbeats.prune(connection, before=now - HEARTBEATS_KEPT)
        over = people.prune(connection, now=now)
        sign_ins.prune(connection, now=now)
        workbooks.prune(connection, before=now - WORKBOOKS_KEPT)
        idempotency.prune(connection, now=now)
    log.info("retention_done", extra={"rejected": rejected, "firings": rung, "heartbeats": gone, "sessions": over})
