"""Own what the clock has rung: the key of a row keeps one moment from being rung twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, exists, func, select, text

from relay.store.rows import firings


def is_rung(connection: Connection, job: str, moment: datetime) -> bool:
    """Tell whether a job was rung for a moment."""
    wanted = (firings.c.job == job, firings.c.scheduled_for == moment)
    return bool(connection.scalar(select(exists().where(*wanted))))


def record(connection: Connection, job: str, moment: datetime, *, fence: int, now: datetime) -> bool:
    """Record that a job is rung for a moment; False when somebody did before.

    A second transaction that records the same waits until the first has ended.
    """
    return bool(connection.execute(_RECORD, {"job": job, "moment": moment, "fence": fence, "now": now}).rowcount)


def forget_ahead(connection: Connection, *, now: datetime) -> int:
    """Forget moments that are still to come: who rang for them had a clock that was wrong."""
    return connection.execute(delete(firings).where(firings.c.scheduled_for > now + _SKEW)).rowcount


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget moments before a moment, but the last of each job: by it a clock knows that nothing was missed."""
    other = firings.alias()
    last = select(func.max(other.c.scheduled_for)).where(other.c.job == firings.c.job).scalar_subquery()
    old = (firings.c.scheduled_for < before, firings.c.scheduled_for < last)
    return connection.execute(delete(firings).where(*old)).rowcount


# No clock that is right is further from another.
_SKEW = timedelta(seconds=10)
_TIME = firings.c.scheduled_for.type
_RECORD = text(
    """
    INSERT INTO firings (job, scheduled_for, fence, fired_at) VALUES (:job, :moment, :fence, :now)
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("moment", type_=_TIME), bindparam("now", type_=_TIME))
