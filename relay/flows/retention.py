"""Own what is let go of with time; rows that bear a key stay for ever, so a re-send after years is still a duplicate."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from relay.flows.committer import REJECTED_IN_ALL, REJECTED_OF_A_KIND
from relay.store import ageing, endpoints, firings, heartbeats, idempotency, people, sign_ins, workbooks
from relay.store.engine import writing
from relay.store.intake import evict_rejected

log = logging.getLogger(__name__)

# The bytes and headers that a callback came as; a year's accounts are closed by then.
RAW_KEPT = timedelta(days=400)
REJECTED_KEPT = timedelta(days=90)
# The exchanges of a delivery that has ended; how it ended stays with it.
ATTEMPTS_KEPT = timedelta(days=90)
FIRINGS_KEPT = timedelta(days=2)
HEARTBEATS_KEPT = timedelta(days=1)
WORKBOOKS_KEPT = timedelta(days=1)
# Rows of one transaction, so that nobody waits for it long, and transactions of one run: the rest is the next hour's.
BATCH = 500
BATCHES = 400


def retain(engine: Engine, *, now: datetime) -> None:
    """Let go of what is too old, or too much: a run without anything old reads a few rows by their keys."""
    with writing(engine) as connection:
        evicted = evict_rejected(connection, most_of_a_kind=REJECTED_OF_A_KIND, most=REJECTED_IN_ALL)
    with writing(engine) as connection:
        rung = firings.prune(connection, before=now - FIRINGS_KEPT)
        gone = heartbeats.prune(connection, before=now - HEARTBEATS_KEPT)
        over = people.prune(connection, now=now)
        sign_ins.prune(connection, now=now)
        workbooks.prune(connection, before=now - WORKBOOKS_KEPT)
        idempotency.prune(connection, now=now)
        endpoints.give_up_deleted(connection, now=now)
    aged = {
        "raw": _in_batches(engine, lambda one: ageing.empty_callbacks(one, before=now - RAW_KEPT, most=BATCH)),
        "rejected": evicted
        + _in_batches(engine, lambda one: ageing.drop_rejected(one, before=now - REJECTED_KEPT, most=BATCH)),
        "attempts_until": _drop_attempts(engine, before=now - ATTEMPTS_KEPT),
    }
    log.info("retention_done", extra={"firings": rung, "heartbeats": gone, "sessions": over, **aged})


def _in_batches(engine: Engine, act: Callable[[Connection], int]) -> int:
    """Repeat an act, each time in a transaction of its own, until it finds less than a batch; return how many it found in all."""
    found = 0
    for _ in range(BATCHES):
        with writing(engine) as connection:
            last = act(connection)
        found += last
        if last < BATCH:
            break
    return found


def _drop_attempts(engine: Engine, *, before: datetime) -> int:
    """Go through the deliveries that have old attempts; return the number of the last that was looked at."""
    reached = 0
    for _ in range(BATCHES):
        with writing(engine) as connection:
            last = ageing.drop_attempts(connection, after=reached, before=before, most=BATCH)
        if last is None:
            break
        reached = last
    return reached
