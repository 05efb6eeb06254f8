"""Own the end of a look at a whole day: its run, with a manifest of what it found, written once whoever comes first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from relay.core.closing import canonical
from relay.core.triage import RULES
from relay.flows.outcomes import announce_all
from relay.store import day_looks as store
from relay.store import runs
from relay.store.engine import FEED_LOCK, take_lock

log = logging.getLogger(__name__)


def finish(
    connection: Connection,
    look: Mapping[Any, Any],
    told: Mapping[str, Any],
    *,
    reason: str,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> bool:
    """End a look and write its run, incomplete where a reason says why; False when another process has ended it.

    A day of which there was nothing to look at leaves no run.
    """
    if not store.end(connection, look, now=now):
        return False
    if not told["orders"]:
        return True
    state = "incomplete" if reason else "complete"
    manifest = canonical({"format": 1, "rules": RULES, "subject": look["subject"], "reason": reason, **told})
    runs.add(
        connection,
        kind=look["kind"],
        state=state,
        reason=reason,
        fence=0,
        finished_at=now,
        last_checked=now,
        manifest=manifest,
        manifest_hash=sha256(manifest.encode()).hexdigest(),
    )
    log.info("day_looked_at", extra={"kind": look["kind"], "subject": look["subject"], "state": state})
    if reason:
        log.error("run_incomplete", extra={"reason": reason})
        take_lock(connection, FEED_LOCK)
        announce_all(connection, [("reconciliation.run.incomplete", {"reason": reason})], now=now, new_id=new_id)
    return True
