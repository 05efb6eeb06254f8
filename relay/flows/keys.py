"""Own the making and the end of API keys; both are audited."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Engine

from relay.core.actors import ROLES, Actor, hash_of, new_key
from relay.core.ids import time_ordered_id
from relay.errors import NotFound, Unprocessable
from relay.store import audit
from relay.store import keys as store
from relay.store.engine import writing

# 32 for the key, 8 for its id.
RANDOM_BYTES = 40


def create(
    engine: Engine,
    name: str,
    roles: Sequence[str],
    sources: Sequence[str] | None,
    *,
    known: Collection[str],
    random: bytes,
    actor: Actor,
    now: datetime,
) -> tuple[Actor, str]:
    """Store a key's hash; return its holder and the key, which is never shown again.

    `random` is RANDOM_BYTES long, `known` the names of the configured sources.
    Raises Unprocessable for a role or a source that does not exist, for a
    scope beside roles that have none, and for a key without a name.
    """
    if not name.strip():
        raise Unprocessable("a key needs a name by which to know it again", pointer="/name")
    _check("role", roles, ROLES, pointer="/roles")
    if sources is not None and set(roles) != {"service"}:
        raise Unprocessable("only a key with the one role service is bound to sources", pointer="/sources")
    _check("source", sources or (), known, pointer="/sources")
    scope = None if sources is None else frozenset(sources)
    holder = Actor(id=time_ordered_id("key", now, random[32:]), name=name, roles=frozenset(roles), sources=scope)
    key = new_key(random[:32])
    with writing(engine) as connection:
        store.add(connection, holder, digest=hash_of(key), now=now)
        detail = {"name": name, "roles": sorted(holder.roles), "sources": None if scope is None else sorted(scope)}
        audit.append(connection, actor=actor.id, act="key.create", subject=holder.id, now=now, detail=detail)
    return holder, key


def revoke(engine: Engine, key_id: str, *, actor: Actor, now: datetime) -> None:
    """End a key at once; NotFound when there is no live one by that id."""
    with writing(engine) as connection:
        if not store.revoke(connection, key_id, now=now):
            raise NotFound("no such key, or it was revoked before")
        audit.append(connection, actor=actor.id, act="key.revoke", subject=key_id, now=now)


def _check(kind: str, given: Sequence[str], known: Collection[str], *, pointer: str) -> None:
    for name in given:
        if name not in known:
            raise Unprocessable(f"no such {kind}: {name}; there are {', '.join(sorted(known))}", pointer=pointer)
