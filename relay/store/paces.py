"""Own how often an account is called: each caller reserves its own moment, whichever process it is in."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, text, update

from relay.store.rows import paces


def reserve(connection: Connection, name: str, *, now: datetime, latest: datetime, apart: timedelta) -> datetime | None:
    """Return when the caller may call, and let the next one wait `apart` longer; None where that is after `latest`.

    The row stays locked until the transaction (one of `writing`) ends, so two callers never get one moment.
    """
    # What is not there yet cannot be locked: two first callers would both find nothing, and call at once.
    connection.execute(_FIRST, {"name": name, "now": now})
    mine = paces.c.name == name
    free: datetime = connection.execute(select(paces.c.next_at).where(mine).with_for_update()).scalar_one()
    slot = max(free, now)
    if slot > latest:
        return None
    connection.execute(update(paces).where(mine).values(next_at=slot + apart))
    return slot


_FIRST = text("INSERT INTO paces (name, next_at) VALUES (:name, :now) ON CONFLICT DO NOTHING").bindparams(
    bindparam("now", type_=paces.c.next_at.type)
)
