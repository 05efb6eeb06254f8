"""Own how a person gets in and out: a guess is counted first, judged outside any transaction, and forgiven when it was right."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from threading import BoundedSemaphore

from sqlalchemy import Connection, Engine

from relay.core.actors import Actor, hash_of
from relay.core.people import NOBODY, verifies, wait_after
from relay.errors import TooMany, Unauthorized
from relay.store import audit, people, sign_ins
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

# A name waits a minute at most, so that a stranger cannot lock its owner out; an address, behind which an office may sit, has more to spend.
NAME_FREE, NAME_LONGEST = 5, timedelta(minutes=1)
ADDRESS_FREE, ADDRESS_LONGEST = 20, timedelta(minutes=15)

# Each takes 32 MiB for a tenth of a second; two at once are enough, and callbacks keep the rest of the machine.
_SLOTS = BoundedSemaphore(2)
_PATIENCE_S = 5.0


def sign_in(engine: Engine, name: str, password: str, *, address: str, token: str, before: str, now: datetime) -> Actor:
    """Begin the session of `token` and end the one of the token `before`; return who signed in.

    Raises TooMany while name or address has to wait, Unauthorized for a name
    or a password that is not right: the answer does not tell which.
    """
    name = name.strip().lower()
    count(engine, name, address, now=now)
    with reading(engine) as connection:
        row = people.find(connection, name)
    is_live = row is not None and row["revoked_at"] is None
    # A name that nobody has is compared too: the time of an answer must not tell which names there are.
    if not _is_right(password, row["password"] if row is not None and is_live else NOBODY) or row is None:
        log.warning("sign_in_refused", extra={"address": address})
        raise Unauthorized("the name or the password is not right")
    actor = people.person(name, row["roles"].split(","))
    with writing(engine) as connection:
        people.end(connection, hash_of(before))
        people.begin(connection, name, hash_of(token), now=now)
        forgive(connection, name, address, now=now)
        audit.append(connection, actor=actor.id, act="user.sign_in", subject=actor.id, now=now)
    return actor


def sign_out(engine: Engine, token: str) -> None:
    """End the session of a token, if there is one."""
    with writing(engine) as connection:
        people.end(connection, hash_of(token))


def identify(engine: Engine, token: str, *, now: datetime) -> Actor | None:
    """Return who uses a session, None when it is over or never was."""
    digest = hash_of(token)
    with reading(engine) as connection:
        found = people.signed_in(connection, digest, now=now)
    if found is None:
        return None
    actor, is_stale = found
    if is_stale:
        with writing(engine) as connection:
            people.note(connection, digest, now=now)
    return actor


def count(engine: Engine, name: str, address: str, *, now: datetime) -> None:
    """Count a guess before it is judged; TooMany while it has to wait, and then it is not counted."""
    limits = ((f"address:{address}", ADDRESS_FREE, ADDRESS_LONGEST), (_name_key(name), NAME_FREE, NAME_LONGEST))
    with writing(engine) as connection:
        for key, free, longest in limits:
            failures, until = sign_ins.count(connection, key, now=now)
            if until > now:
                raise TooMany("too many tries; wait a little", retry_after_s=int((until - now).total_seconds()) + 1)
            sign_ins.wait(connection, key, now + wait_after(failures, free=free, longest=longest))


def forgive(connection: Connection, name: str, address: str, *, now: datetime) -> None:
    """Take a guess back that was right; what failed before it from the same address stays counted."""
    sign_ins.take_back(connection, f"address:{address}", now=now)
    sign_ins.forget(connection, _name_key(name))


def _name_key(name: str) -> str:
    # What is typed may be of any length.
    return f"name:{name[:60]}"


def _is_right(password: str, stored: str) -> bool:
    if not _SLOTS.acquire(timeout=_PATIENCE_S):
        raise TooMany("too many people sign in at once; try again", retry_after_s=2)
    try:
        return verifies(password, stored)
    finally:
        _SLOTS.release()
