"""Own how a new SECRET_KEY takes over everything that older ones have wrapped, so that those can be dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.actors import Actor
from relay.errors import InvariantBroken
from relay.store import audit, wrapped
from relay.store.engine import writing
from relay.store.wrapped import PLACES, Place, Renew

# Rows of one transaction, and how many that cannot be read the audit names.
PAGE, MOST_NAMED = 200, 100


@dataclass(slots=True)
class Rewrapped:
    """How many rows were looked at and wrapped anew, and the rows that no key of ours opens, each by place and key."""

    seen: int = 0
    renewed: int = 0
    unreadable: list[str] = field(default_factory=list)


def rewrap(engine: Engine, renew: Renew, *, actor: Actor, now: datetime) -> Rewrapped:
    """Pass every stored secret through `renew`, a page at a time, each page a transaction; audited.

    `renew` returns what the first key has wrapped as it is, so that a second
    time changes nothing, and one that was interrupted goes on. A value that
    changes meanwhile was wrapped by the first key, and is left alone.
    """
    done = Rewrapped()
    for place in PLACES:
        after: tuple[Any, ...] | None = ()
        while after is not None:
            with writing(engine) as connection:
                after = _page(connection, place, after, renew, done)
    with writing(engine) as connection:
        detail = {"seen": done.seen, "renewed": done.renewed, "unreadable": done.unreadable[:MOST_NAMED]}
        audit.append(connection, actor=actor.id, act="secrets.rewrap", subject="secrets", now=now, detail=detail)
    return done


def _page(
    connection: Connection, place: Place, after: tuple[Any, ...], renew: Renew, done: Rewrapped
) -> tuple[Any, ...] | None:
    """Renew a page of a place behind a key; return the last key, None when this was the last page."""
    rows = wrapped.page(connection, place, after=after, limit=PAGE)
    for row in rows:
        after = wrapped.key_of(place, row)
        value = _renewed(place, str(row["value"]), renew)
        if value is None:
            done.unreadable.append(f"{place.name} of {'/'.join(map(str, after))}")
        elif value != row["value"]:
            done.renewed += wrapped.replace(connection, place, row, value)
    done.seen += len(rows)
    return after if len(rows) == PAGE else None


def _renewed(place: Place, value: str, renew: Renew) -> str | None:
    """Return the text with everything in it under the first key; None when none of our keys opens it."""
    changed = False

    def noting(one: str) -> str:
        nonlocal changed
        new = renew(one)
        changed = changed or new != one
        return new

    try:
        text = place.renewed(value, noting)
    except InvariantBroken:
        return None
    return text if changed else value
