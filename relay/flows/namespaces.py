"""Own the first start of a source: its namespace is recorded, and from then on it only moves on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine

from relay.core.namespaces import moved
from relay.core.sources import Source
from relay.errors import ConfigError
from relay.store import namespaces
from relay.store.engine import writing


def record_namespaces(engine: Engine, sources: Mapping[str, Source], *, now: datetime) -> None:
    """Record the namespaces of new sources.

    Raises ConfigError, and records nothing, when a source's orders are under
    another namespace than the configured one.
    """
    with writing(engine) as connection:
        recorded = namespaces.recorded(connection)
        new = {name: source.namespace for name, source in sources.items() if name not in recorded}
        gone = recorded.keys() - sources.keys() if new else ()
        faults = moved(sources, recorded, namespaces.histories(connection, gone))
        if faults:
            raise ConfigError(faults)
        namespaces.record(connection, new, now=now)
