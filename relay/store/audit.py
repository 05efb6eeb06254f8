"""Own the audit: an append-only chain in which each row hashes the one before it, so that no row can be changed unseen.

What the chain cannot show by itself is that its end was cut off: each new
head is logged, and `verify` takes a head that must still be in the chain.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from relay.core.events import rfc3339
from relay.store.engine import AUDIT_LOCK, take_lock
from relay.store.paging import Cursor, Page, read_page
from relay.store.rows import audit

log = logging.getLogger(__name__)

# What the first row follows.
GENESIS = "0" * 64
# So many things are asked about at a time.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of the chain."""

    sequence: int = 0
    hash: str = GENESIS


def append(
    connection: Connection,
    *,
    actor: str,
    act: str,
    subject: str,
    now: datetime,
    detail: Mapping[str, Any] | None = None,
) -> Head:
    """Add an act to the chain, in the transaction of the act itself (one of `writing`); return the new head.

    Appenders queue until the one before has committed. Whoever also needs
    the feed lock takes that first, so that two cannot wait for each other.
    """
    take_lock(connection, AUDIT_LOCK)
    last = head(connection)
    row = {
        "sequence": last.sequence + 1,
        "at": now,
        "actor": actor,
        "act": act,
        "subject": subject,
        "detail": _canonical(detail or {}),
    }
    digest = _hash(last.hash, row)
    connection.execute(insert(audit), row | {"previous_hash": last.hash, "hash": digest})
    log.info(
        "act_audited",
        extra={"sequence": row["sequence"], "act": act, "subject": subject, "actor": actor, "hash": digest},
    )
    return Head(last.sequence + 1, digest)


def head(connection: Connection) -> Head:
    """Return the newest row's place and hash."""
    row = connection.execute(select(audit.c.sequence, audit.c.hash).order_by(audit.c.sequence.desc()).limit(1)).first()
    return Head() if row is None else Head(row.sequence, row.hash)


def verify(connection: Connection) -> int | None:
    """Walk the whole chain; return the first sequence that is missing or was changed, None when all is well."""
    last = Head()
    query = select(audit).order_by(audit.c.sequence)
    with connection.execute(query, execution_options={"yield_per": 1_000}) as rows:
        for row in rows.mappings():
            expected = last.sequence + 1
            if row["sequence"] != expected or row["previous_hash"] != last.hash or row["hash"] != _hash(last.hash, row):
                return expected
            last = Head(expected, row["hash"])
    return None


def holds(connection: Connection, digest: str) -> bool:
    """Tell whether a head that was once logged is still part of the chain."""
    return connection.execute(select(audit.c.sequence).where(audit.c.hash == digest)).first() is not None


def page(
    connection: Connection, *, after: Cursor | None, limit: int, actor: str | None = None, subject: str | None = None
) -> Page:
    """List acts, newest first."""
    query = select(audit)
    if actor:
        query = query.where(audit.c.actor == actor)
    if subject:
        query = query.where(audit.c.subject == subject)
    return read_page(connection, query, audit.c.sequence, after=after, limit=limit)


def of_subject(connection: Connection, subject: str, *, most: int) -> list[RowMapping]:
    """Return the acts upon one thing, oldest first."""
    query = select(audit).where(audit.c.subject == subject).order_by(audit.c.sequence).limit(most)
    return list(connection.execute(query).mappings())


def of_subjects(connection: Connection, subjects: Sequence[str], *, acts: Collection[str]) -> list[RowMapping]:
    """Return the acts of these kinds upon any of these things."""
    found: list[RowMapping] = []
    for start in range(0, len(subjects), _AT_ONCE):
        mine = audit.c.subject.in_(subjects[start : start + _AT_ONCE])
        found += connection.execute(select(audit).where(mine, audit.c.act.in_(sorted(acts)))).mappings()
    return found


def _hash(previous: str, row: Mapping[str, Any] | RowMapping) -> str:
    signed = {name: row[name] for name in ("sequence", "actor", "act", "subject", "detail")}
    return sha256(
        (previous + _canonical(signed | {"at": rfc3339(row["at"], timespec="microseconds")})).encode()
    ).hexdigest()


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
