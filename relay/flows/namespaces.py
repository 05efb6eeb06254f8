"""Own the first start of a source: its namespace is recorded, and from then on it only moves on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Engine

from relay.core.namespaces import moved
from relay.core.sources import Source
from relay.errors import ConfigError
from relay.store import namespaces
from relay.store.engine import reading, writing


def record_namespaces(engine: Engine, sources: Mapping[str, Source], *, now: datetime) -> None:
    """Record the namespaces of new sources.

    Raises ConfigError, and records nothing, when a source's orders are under
    another namespace than the configured one.
    """
    with writing(engine) as connection:
        faults = _faults(connection, sources)
        if faults:
            raise ConfigError(faults)
        namespaces.record(connection, {name: source.namespace for name, source in sources.items()}, now=now)


def namespace_faults(engine: Engine, sources: Mapping[str, Source]) -> list[str]:
    """Return what `record_namespaces` would refuse."""
    with reading(engine) as connection:
        return _faults(connection, sources)


def _faults(connection: Connection, sources: Mapping[str, Source]) -> list[str]:
    recorded = namespaces.recorded(connection)
    # Only a new name can be that of a renamed source.
    gone = recorded.keys() - sources.keys() if sources.keys() - recorded.keys() else ()
    return moved(sources, recorded, namespaces.histories(connection, gone))
