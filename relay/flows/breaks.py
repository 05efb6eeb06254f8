"""Own what people do with a break: take it on, note what they found, resolve or accept it with a reason; each is an act in the audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from sqlalchemy import Connection, Engine

from relay.core.actors import Actor
from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows.ledger import resolution
from relay.flows.outcomes import announce_all
from relay.store import audit, people
from relay.store import break_list as store
from relay.store.engine import FEED_LOCK, writing

LONGEST = 2_000


def assign(engine: Engine, break_id: str, owner: str, *, actor: Actor, now: datetime) -> None:
    """Give a break to a person, or with "" to nobody. Unprocessable for a person who may not sign in."""
    with writing(engine) as connection:
        name = checked_owner(connection, owner)
    _act(engine, break_id, "break.assign", {"owner": name}, actor=actor, now=now, owner=name)


def note(engine: Engine, break_id: str, given: str, *, actor: Actor, now: datetime) -> None:
    """Write down what was found; the last note stands on the break, all are in the audit."""
    said = said_of(given, "/note")
    _act(engine, break_id, "break.note", {"note": said}, actor=actor, now=now, note=said)


def resolve(
    engine: Engine, break_id: str, reason: str, *, actor: Actor, now: datetime, new_id: Callable[[datetime], str]
) -> None:
    """Close a break with a reason, and announce it; what it is about does not change by that."""
    _close(engine, break_id, "break.resolve", reason, actor=actor, now=now, new_id=new_id)


def accept(
    engine: Engine, break_id: str, reason: str, *, actor: Actor, now: datetime, new_id: Callable[[datetime], str]
) -> None:
    """Close a break though the difference stays, with the reason; the day's approver is shown it by name."""
    _close(engine, break_id, "break.accept", reason, actor=actor, now=now, new_id=new_id)


def checked_owner(connection: Connection, owner: str) -> str | None:
    """Return the name of a person who may sign in, None for nobody; Unprocessable for anybody else."""
    name = owner.strip().lower()
    person = people.find(connection, name) if name else None
    if name and (person is None or person["revoked_at"] is not None):
        raise Unprocessable(f"nobody who may sign in is called {name}", pointer="/owner")
    return name or None


def said_of(given: str, pointer: str) -> str:
    """Return what a person says of a thing, trimmed; Unprocessable for what is too short or too long."""
    said = given.replace("\0", "").strip()
    if not 3 <= len(said) <= LONGEST:
        raise Unprocessable(f"say it in 3 to {LONGEST} characters", pointer=pointer)
    return said


def _close(
    engine: Engine,
    break_id: str,
    act: str,
    reason: str,
    *,
    actor: Actor,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> None:
    said = said_of(reason, "/reason")
    with writing(engine, lock=FEED_LOCK) as connection:
        closed = store.close(connection, break_id=break_id, by=actor.id, note=said, now=now)
        if not closed:
            _refuse(connection, break_id)
        announce_all(connection, [resolution(row) for row in closed], now=now, new_id=new_id)
        audit.append(connection, actor=actor.id, act=act, subject=break_id, now=now, detail={"reason": said})


def _act(
    engine: Engine,
    break_id: str,
    act: str,
    detail: dict[str, object],
    *,
    actor: Actor,
    now: datetime,
    **columns: object,
) -> None:
    with writing(engine) as connection:
        if not store.change(connection, break_id, **columns):
            _refuse(connection, break_id)
        audit.append(connection, actor=actor.id, act=act, subject=break_id, now=now, detail=detail)


def _refuse(connection: Connection, break_id: str) -> NoReturn:
    if store.find(connection, break_id) is None:
        raise NotFound("no such break")
    raise Conflict("this break is resolved already")
