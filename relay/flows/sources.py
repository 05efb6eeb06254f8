"""Own what people may see of a source and do to it: pause it, and let it go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.core.sources import Source
from relay.errors import NotFound
from relay.store import audit
from relay.store import sources as store
from relay.store.engine import FEED_LOCK, reading, writing


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceView:
    """A configured source as people see it."""

    name: str
    namespace: str
    adapter: str
    mode: str
    callback_url: str
    paused_at: datetime | None
    paused_by: str | None


def overview(engine: Engine, sources: Mapping[str, Source], *, public_url: str) -> list[SourceView]:
    """Return every configured source, by name."""
    with reading(engine) as connection:
        states = store.states(connection)
    return [_view(sources[name], states.get(name), public_url) for name in sorted(sources)]


def _view(source: Source, state: RowMapping | None, public_url: str) -> SourceView:
    return SourceView(
        name=source.name,
        namespace=source.namespace,
        adapter=source.adapter.name,
        mode=source.mode,
        callback_url=f"{public_url}/callbacks/{source.name}",
        paused_at=state["paused_at"] if state else None,
        paused_by=state["paused_by"] if state else None,
    )


def pause(engine: Engine, sources: Mapping[str, Source], name: str, *, actor: Actor, now: datetime) -> None:
    """From now on store and acknowledge what a source sends, and hold it; pausing twice keeps the first."""
    _switch(engine, sources, name, is_paused=True, actor=actor, now=now)


def resume(engine: Engine, sources: Mapping[str, Source], name: str, *, actor: Actor, now: datetime) -> None:
    """Let new callbacks credit again; what was held meanwhile waits for a person's release."""
    _switch(engine, sources, name, is_paused=False, actor=actor, now=now)


def _switch(
    engine: Engine, sources: Mapping[str, Source], name: str, *, is_paused: bool, actor: Actor, now: datetime
) -> None:
    source = sources.get(name)
    if source is None:
        raise NotFound("no such source")
    # The feed lock: a batch under way has read the old state, and must be through before we say that it is changed.
    with writing(engine, lock=FEED_LOCK) as connection:
        state = store.states(connection).get(name)
        if (state is not None and state["paused_at"] is not None) is is_paused:
            return
        store.set_pause(connection, name, source.namespace, by=actor.id if is_paused else None, now=now)
        act = "source.pause" if is_paused else "source.resume"
        audit.append(connection, actor=actor.id, act=act, subject=name, now=now)
