"""Own who may sign in: the first people, those after them, their roles and passwords; each change is audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.actors import Actor
from relay.core.people import check_password, checked_name, checked_roles, hashed, verifies
from relay.errors import Conflict, NotFound, Unprocessable
from relay.store import audit
from relay.store import people as store
from relay.store.engine import AUDIT_LOCK, reading, writing


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A person who is to be entered; `salt` is random, of SALT_BYTES."""

    name: str
    roles: Sequence[str]
    password: str = field(repr=False)
    salt: bytes = field(repr=False)


def set_up(engine: Engine, newcomers: Sequence[Newcomer], *, actor: Actor, now: datetime) -> None:
    """Enter the first people, all or none; one of them has to be an admin.

    Raises Conflict when there are people already, Unprocessable as `create` does.
    """
    # Passwords are hashed before the lock is taken: each takes a tenth of a second.
    rows = [_row(one) for one in newcomers]
    if not any("admin" in roles for _, roles, _ in rows):
        raise Unprocessable("one of the first people has to be an admin", pointer="/roles")
    if len({name for name, _, _ in rows}) < len(rows):
        raise Unprocessable("two people cannot have one name", pointer="/name")
    # Of two set-ups at once the second one sees the first one's people.
    with writing(engine, lock=AUDIT_LOCK) as connection:
        if store.is_anyone(connection):
            raise Conflict("there are people already; the set-up is closed")
        for row in rows:
            _enter(connection, *row, actor=actor, now=now)


def create(engine: Engine, newcomer: Newcomer, *, actor: Actor, now: datetime) -> str:
    """Enter a person; return the name. Raises Unprocessable for bad fields, Conflict for a name that was ever given."""
    row = _row(newcomer)
    with writing(engine, lock=AUDIT_LOCK) as connection:
        if store.find(connection, row[0]) is not None:
            raise Conflict(f"the name {row[0]} was given before; names are never given twice")
        _enter(connection, *row, actor=actor, now=now)
    return row[0]


def set_roles(engine: Engine, name: str, roles: Sequence[str], *, actor: Actor, now: datetime) -> None:
    """Give a person other roles, at once."""
    given = ",".join(checked_roles(roles))
    _change(engine, name, "user.roles", {"roles": given.split(",")}, actor=actor, now=now, roles=given)


def revoke(engine: Engine, name: str, *, actor: Actor, now: datetime) -> None:
    """Let a person in no more, and end what is open; the name stays taken."""
    _change(engine, name, "user.revoke", {}, actor=actor, now=now, revoked_at=now)


def reset_password(engine: Engine, name: str, password: str, *, salt: bytes, actor: Actor, now: datetime) -> None:
    """Give a person another password, and end every session of theirs."""
    check_password(password, name)
    _change(engine, name, "user.password", {}, actor=actor, now=now, password=hashed(password, salt))


def change_password(
    engine: Engine, old: str, new: str, *, salt: bytes, session: str, actor: Actor, now: datetime
) -> None:
    """Let a person change their own password; their other sessions end. Unprocessable when the old one is wrong."""
    check_password(new, actor.name)
    with reading(engine) as connection:
        row = store.find(connection, actor.name)
    if row is None or not verifies(old, row["password"]):
        raise Unprocessable("the present password is not right", pointer="/old")
    stored = hashed(new, salt)
    _change(engine, actor.name, "user.password", {}, actor=actor, now=now, keep=session, password=stored)


def _row(one: Newcomer) -> tuple[str, tuple[str, ...], str]:
    name, roles = checked_name(one.name), checked_roles(one.roles)
    check_password(one.password, name)
    return name, roles, hashed(one.password, one.salt)


def _enter(
    connection: Connection, name: str, roles: Sequence[str], stored: str, *, actor: Actor, now: datetime
) -> None:
    store.add(connection, name, roles, stored, now=now)
    _audit(connection, "user.create", name, {"roles": list(roles)}, actor=actor, now=now)


def _change(
    engine: Engine,
    name: str,
    act: str,
    detail: dict[str, Any],
    *,
    actor: Actor,
    now: datetime,
    keep: str = "",
    **columns: object,
) -> None:
    """A change of roles leaves sessions alone: they are read anew at each request."""
    with writing(engine, lock=AUDIT_LOCK) as connection:
        if not store.change(connection, name, now=now, **columns):
            raise NotFound(f"nobody who may sign in is called {name}")
        if "roles" not in columns:
            store.end_all(connection, name, but=keep)
        _audit(connection, act, name, detail, actor=actor, now=now)


def _audit(connection: Connection, act: str, name: str, detail: dict[str, Any], *, actor: Actor, now: datetime) -> None:
    audit.append(connection, actor=actor.id, act=act, subject=f"user:{name}", now=now, detail=detail)
