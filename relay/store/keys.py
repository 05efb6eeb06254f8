"""Own the stored API keys: hashes, roles and scopes, never a key itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from relay.core.actors import Actor
from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import api_keys


def actor_by_hash(connection: Connection, digest: str) -> Actor | None:
    """Return whoever holds the key with this hash; None when nobody does, or no longer."""
    query = select(api_keys).where(api_keys.c.hash == digest, api_keys.c.revoked_at.is_(None))
    row = connection.execute(query).mappings().first()
    return None if row is None else _actor_from(row)


def add(connection: Connection, actor: Actor, *, digest: str, now: datetime) -> None:
    """Store the hash of a new key for an actor whose id is the key's."""
    connection.execute(
        insert(api_keys),
        {
            "id": actor.id,
            "name": actor.name,
            "hash": digest,
            "roles": ",".join(sorted(actor.roles)),
            "sources": None if actor.sources is None else ",".join(sorted(actor.sources)),
            "created_at": now,
        },
    )


def page(connection: Connection, *, after: Cursor | None, limit: int) -> Page:
    """List keys, newest first, the revoked ones too."""
    columns = [column for column in api_keys.columns if column is not api_keys.c.hash]
    return read_page(connection, select(*columns), api_keys.c.id, after=after, limit=limit)


def revoke(connection: Connection, key_id: str, *, now: datetime) -> bool:
    """Revoke a key; False when there is no live one by that id."""
    live = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
    return bool(connection.execute(update(api_keys).where(live).values(revoked_at=now)).rowcount)


def _actor_from(row: RowMapping) -> Actor:
    sources = None if row["sources"] is None else frozenset(row["sources"].split(","))
    return Actor(id=row["id"], name=row["name"], roles=frozenset(row["roles"].split(",")), sources=sources)
