"""Own the stored people and their sessions: hashes of passwords and cookies, never one itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from relay.core.actors import Actor
from relay.core.people import IDLE, NOTED_EVERY, WHOLE
from relay.store.rows import sessions, users

_SHOWN = [users.c[name] for name in ("name", "roles", "created_at", "changed_at", "revoked_at")]


def is_anyone(connection: Connection) -> bool:
    """Tell whether there is a person at all, revoked or not."""
    return connection.execute(select(users.c.name).limit(1)).first() is not None


def find(connection: Connection, name: str) -> RowMapping | None:
    """Return a person's row, the password's hash too."""
    return connection.execute(select(users).where(users.c.name == name)).mappings().first()


def listed(connection: Connection) -> Sequence[RowMapping]:
    """Return all people by name; a company has few."""
    return connection.execute(select(*_SHOWN).order_by(users.c.name)).mappings().all()


def add(connection: Connection, name: str, roles: Sequence[str], password: str, *, now: datetime) -> None:
    """Store a person with the hash of a password."""
    row = {"name": name, "roles": ",".join(roles), "password": password, "created_at": now, "changed_at": now}
    connection.execute(insert(users), row)


def change(connection: Connection, name: str, *, now: datetime, **columns: object) -> bool:
    """Change a person who is not revoked; False when there is none."""
    live = (users.c.name == name) & users.c.revoked_at.is_(None)
    return bool(connection.execute(update(users).where(live).values(changed_at=now, **columns)).rowcount)


def begin(connection: Connection, name: str, digest: str, *, now: datetime) -> None:
    """Store a session."""
    connection.execute(insert(sessions), {"hash": digest, "user_name": name, "created_at": now, "seen_at": now})


def end(connection: Connection, digest: str) -> None:
    """End one session, if it is there."""
    connection.execute(delete(sessions).where(sessions.c.hash == digest))


def end_all(connection: Connection, name: str, *, but: str = "") -> int:
    """End the sessions of a person, except the one with the hash `but`; return how many."""
    theirs = (sessions.c.user_name == name) & (sessions.c.hash != but)
    return connection.execute(delete(sessions).where(theirs)).rowcount


def signed_in(connection: Connection, digest: str, *, now: datetime) -> tuple[Actor, bool] | None:
    """Return whose living session this is, and whether its use has to be written down again."""
    query = (
        select(users.c.name, users.c.roles, sessions.c.seen_at)
        .join(sessions, sessions.c.user_name == users.c.name)
        .where(sessions.c.hash == digest, users.c.revoked_at.is_(None))
        .where(sessions.c.created_at > now - WHOLE, sessions.c.seen_at > now - IDLE)
    )
    row = connection.execute(query.add_columns((sessions.c.seen_at < now - NOTED_EVERY).label("stale"))).first()
    return None if row is None else (person(row.name, row.roles.split(",")), bool(row.stale))


def person(name: str, roles: Sequence[str]) -> Actor:
    """Return the actor that a person is."""
    return Actor(id=f"user:{name}", name=name, roles=frozenset(roles))


def note(connection: Connection, digest: str, *, now: datetime) -> None:
    """Write down that a session was used."""
    connection.execute(update(sessions).where(sessions.c.hash == digest).values(seen_at=now))


def prune(connection: Connection, *, now: datetime) -> int:
    """Forget sessions that are over; return how many."""
    return connection.execute(delete(sessions).where(sessions.c.created_at <= now - WHOLE)).rowcount
