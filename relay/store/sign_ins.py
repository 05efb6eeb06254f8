"""Own the counts of failed sign-ins: a guess is counted before it is judged, so that guesses at once gain nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, text, update

from relay.core.people import FORGOTTEN_AFTER
from relay.store.rows import sign_in_failures

_TIME = sign_in_failures.c.until.type


def count(connection: Connection, key: str, *, now: datetime) -> tuple[int, datetime]:
    """Count a try under a key and hold its row; return its number, and until when the tries before it have to wait."""
    row = connection.execute(_COUNT, {"key": key, "now": now, "stale": now - FORGOTTEN_AFTER}).one()
    return row.failures, row.until


def wait(connection: Connection, key: str, until: datetime) -> None:
    """Let the next try under a key wait until a moment."""
    connection.execute(update(sign_in_failures).where(sign_in_failures.c.key == key).values(until=until))


def forget(connection: Connection, key: str) -> None:
    """Forget what failed under a key."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.key == key))


def take_back(connection: Connection, key: str, *, now: datetime) -> None:
    """Take one try back: it did not fail."""
    values = {"failures": sign_in_failures.c.failures - 1, "until": now}
    connection.execute(update(sign_in_failures).where(sign_in_failures.c.key == key).values(values))


def prune(connection: Connection, *, now: datetime) -> int:
    """Forget what is too old to count; return how many keys."""
    old = sign_in_failures.c.last_at < now - FORGOTTEN_AFTER - timedelta(hours=1)
    return connection.execute(delete(sign_in_failures).where(old)).rowcount


_COUNT = (
    text(
        """
        INSERT INTO sign_in_failures (key, failures, until, last_at) VALUES (:key, 1, :now, :now)
        ON CONFLICT (key) DO UPDATE SET last_at = excluded.last_at,
            failures = CASE WHEN sign_in_failures.last_at < :stale THEN 1 ELSE sign_in_failures.failures + 1 END
        RETURNING failures, until
        """
    )
    .bindparams(bindparam("now", type_=_TIME), bindparam("stale", type_=_TIME))
    .columns(failures=sign_in_failures.c.failures.type, until=_TIME)
)
