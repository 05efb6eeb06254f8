"""Own the alarms that no single act raises: a provider that says nothing usable, and many signatures that do not verify."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.events import rfc3339
from relay.core.sources import Source
from relay.flows.outcomes import announce_all
from relay.store import alarms as store
from relay.store import sources as states
from relay.store.engine import FEED_LOCK, reading, writing

log = logging.getLogger(__name__)

STALE_AFTER = timedelta(minutes=15)
# A changed secret, or somebody who tries: one wrong request now and then is the internet.
BAD_SIGNATURES, WITHIN = 20, timedelta(minutes=10)


def watch(
    engine: Engine, sources: Mapping[str, Source], *, now: datetime, new_id: Callable[[datetime], str]
) -> list[str]:
    """Announce each trouble once, until it is over; return the keys of those that are new. Without news nothing is written."""
    with reading(engine) as connection:
        found, told = _troubles(connection, sources, now), store.told(connection)
    if found.keys() == told:
        return []
    with writing(engine, lock=FEED_LOCK) as connection:
        # Of two rounds that see a trouble at once, the second finds it begun and says nothing.
        fresh = [key for key in sorted(found.keys() - told) if store.begin(connection, key, now=now)]
        store.end(connection, told - found.keys())
        if fresh:
            announce_all(connection, [("relay.alert", found[key]) for key in fresh], now=now, new_id=new_id)
    for key in fresh:
        log.error("alarm_raised", extra=found[key])
    for key in sorted(told - found.keys()):
        log.info("alarm_over", extra={"alarm": key})
    return fresh


def _troubles(connection: Connection, sources: Mapping[str, Source], now: datetime) -> dict[str, dict[str, Any]]:
    """What is wrong now, by a key that stays while it is."""
    since = now - WITHIN
    silent = states.unclear(connection, before=now - STALE_AFTER)
    forged = store.bad_signatures(connection, since=since, least=BAD_SIGNATURES)
    return {
        f"source_stale:{name}": {"reason": "source_stale", "source": name, "since": rfc3339(moment)}
        for name, moment in silent.items()
        if name in sources
    } | {
        f"bad_signatures:{name}": {
            "reason": "bad_signatures",
            "source": name,
            "count": count,
            "since": rfc3339(since),
        }
        for name, count in forged.items()
    }
