"""Own the statements of acts on money that one person asks for and another does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from relay.store.rows import asked_acts


def ask(connection: Connection, row: Mapping[str, object]) -> None:
    """Write a wish; the database refuses a second one about the same thing."""
    connection.execute(insert(asked_acts).values(row))


def find(connection: Connection, act_id: str) -> RowMapping | None:
    """Return one wish, whatever became of it."""
    return connection.execute(select(asked_acts).where(asked_acts.c.id == act_id)).mappings().first()


def open_one(connection: Connection, subject: str) -> RowMapping | None:
    """Return the wish about an order or a brake that waits for a second person."""
    mine = (asked_acts.c.subject == subject, asked_acts.c.state == "asked")
    return connection.execute(select(asked_acts).where(*mine)).mappings().first()


def waiting(connection: Connection, *, limit: int) -> list[RowMapping]:
    """Return the wishes that wait for a second person, the oldest first."""
    query = select(asked_acts).where(asked_acts.c.state == "asked").order_by(asked_acts.c.asked_at).limit(limit)
    return list(connection.execute(query).mappings())


def decide(connection: Connection, act_id: str, state: str, *, by: str, now: datetime) -> bool:
    """End a wish; False when it had ended already."""
    still = (asked_acts.c.id == act_id) & (asked_acts.c.state == "asked")
    done = update(asked_acts).where(still).values(state=state, decided_by=by, decided_at=now)
    return bool(connection.execute(done).rowcount)


def overtake(connection: Connection, subject: str, *, by: str, now: datetime) -> None:
    """End the wish about a thing that was settled without it."""
    still = (asked_acts.c.subject == subject) & (asked_acts.c.state == "asked")
    connection.execute(update(asked_acts).where(still).values(state="withdrawn", decided_by=by, decided_at=now))
