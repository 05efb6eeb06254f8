"""Own the first start of a source: its namespace is recorded, and from then on it only moves on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Engine

from relay.core.actors import Actor
from relay.core.namespaces import left_behind, moved
from relay.core.sources import Source
from relay.errors import ConfigError, Conflict, NotFound
from relay.store import audit, heartbeats, namespaces
from relay.store.engine import FEED_LOCK, reading, writing

# So many order numbers that stand in the way are named.
MOST_NAMED = 5


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


def move_source(
    engine: Engine, sources: Mapping[str, Source], former: str, name: str, *, actor: Actor, now: datetime
) -> None:
    """Give the history of the source `former` to the configured source `name`, in that one's namespace.

    Both may be one name, whose namespace changes then. A namespace moves as a
    whole. Raises NotFound for a source that nobody knows, and Conflict, with
    nothing changed, while processes run, when another source would be left
    behind, and when both namespaces have an order of one number: whether that
    is one payment or two, no program can tell.
    """
    source = sources.get(name)
    if source is None:
        raise NotFound(f'"{name}" is not configured')
    with writing(engine, lock=FEED_LOCK) as connection:
        recorded = namespaces.recorded(connection)
        if former not in recorded:
            raise NotFound(f'"{former}" was never started')
        _judge_move(connection, sources, recorded, former, source, now=now)
        if recorded[former] != source.namespace:
            namespaces.move(connection, recorded[former], source.namespace)
        if former != name:
            namespaces.rename_source(connection, former, name)
        detail = {"name": name, "from": recorded[former], "to": source.namespace}
        audit.append(connection, actor=actor.id, act="source.move", subject=former, now=now, detail=detail)


def _judge_move(
    connection: Connection,
    sources: Mapping[str, Source],
    recorded: Mapping[str, str],
    former: str,
    source: Source,
    *,
    now: datetime,
) -> None:
    seen = heartbeats.last_seen(connection)
    alive = sorted(kind for kind, at in seen.items() if now - at <= heartbeats.SILENT_AFTER)
    if alive:
        raise Conflict(f"still running: {', '.join(alive)}; stop web, worker and clock, wait 90 s, and try again")
    if former != source.name and former in sources:
        raise Conflict(f'"{former}" is configured still; a history belongs to one source')
    stay = left_behind(sources, recorded, former, source.namespace)
    if stay:
        raise Conflict(f'{", ".join(stay)} would be left behind; give it namespace = "{source.namespace}" too')
    before = recorded[former]
    both = (
        namespaces.shared_orders(connection, before, source.namespace, most=MOST_NAMED)
        if before != source.namespace
        else []
    )
    if both:
        raise Conflict(f'"{before}" and "{source.namespace}" both have orders {", ".join(both)}')


def _faults(connection: Connection, sources: Mapping[str, Source]) -> list[str]:
    recorded = namespaces.recorded(connection)
    # Only a new name can be that of a renamed source.
    gone = recorded.keys() - sources.keys() if sources.keys() - recorded.keys() else ()
    return moved(sources, recorded, namespaces.histories(connection, gone))
