"""Own whose provider will be asked about which order, and when."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, bindparam, delete, text, update

from relay.core.sources import Source
from relay.store.rows import polls

# An order that nobody paid for this long is not asked about any more, and an older one is not begun with.
LONGEST = timedelta(days=7)
MOST = 200


def request_poll(
    connection: Connection, source: Source, orderid: str, *, reason: str, due_at: datetime, now: datetime
) -> None:
    """Have an order's provider asked at `due_at`, or sooner when that was planned; the reason is the newest one."""
    asked = {"source": source.name, "namespace": source.namespace, "orderid": orderid, "reason": reason}
    connection.execute(_REQUEST, asked | {"due_at": due_at, "now": now})


def enrol(connection: Connection, source: Source, *, now: datetime) -> int:
    """Plan to ask about what awaits the provider's word, and about what nobody has paid within the grace; return how many."""
    bounds = {"source": source.name, "now": now, "oldest": now - LONGEST, "most": MOST}
    unpaid = connection.execute(_ENROL_UNPAID, bounds | {"until": now - timedelta(seconds=source.grace_s)}).rowcount
    if "provider" not in source.evidence:
        return unpaid
    return unpaid + connection.execute(_ENROL_CONFIRMING, bounds).rowcount


def next_reason(connection: Connection, source: str, *, now: datetime) -> str | None:
    """Return why a source's provider is to be asked now, None where it is not."""
    reason: str | None = connection.scalar(_NEXT_REASON, {"source": source, "now": now})
    return reason


def take(connection: Connection, source: str, *, now: datetime, until: datetime) -> RowMapping | None:
    """Take the order that has been due the longest, one that nobody has paid yet last; nobody else gets it before `until`."""
    return connection.execute(_TAKE, {"source": source, "now": now, "until": until}).mappings().first()


def put_off(connection: Connection, source: str, orderid: str, *, due_at: datetime) -> None:
    """Ask again later."""
    mine = (polls.c.source == source, polls.c.orderid == orderid)
    connection.execute(update(polls).where(*mine).values(due_at=due_at, tries=polls.c.tries + 1))


def drop(connection: Connection, source: str, orderid: str) -> None:
    """Ask no more."""
    connection.execute(delete(polls).where(polls.c.source == source, polls.c.orderid == orderid))


_TIME = polls.c.due_at.type
_REQUEST = text(
    """
    INSERT INTO polls (source, orderid, namespace, reason, tries, due_at, created_at)
    VALUES (:source, :orderid, :namespace, :reason, 0, :due_at, :now)
    ON CONFLICT (source, orderid) DO UPDATE SET reason = excluded.reason, tries = 0,
        due_at = CASE WHEN excluded.due_at < polls.due_at THEN excluded.due_at ELSE polls.due_at END
    """
).bindparams(bindparam("due_at", type_=_TIME), bindparam("now", type_=_TIME))
_COLUMNS = "INSERT INTO polls (source, orderid, namespace, reason, tries, due_at, created_at)"
_NOT_YET = "NOT EXISTS (SELECT 1 FROM polls p WHERE p.source = o.source AND p.orderid = o.orderid)"
_ENROL_CONFIRMING = text(
    f"""
    {_COLUMNS} SELECT o.source, o.orderid, o.namespace, 'confirming', 0, :now, :now FROM orders o
    WHERE o.state = 'confirming' AND o.source = :source AND {_NOT_YET} ORDER BY o.updated_at LIMIT :most
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("now", type_=_TIME))
_ENROL_UNPAID = text(
    f"""
    {_COLUMNS} SELECT o.source, o.orderid, o.namespace, 'unpaid', 0, :now, :now FROM orders o
    WHERE o.state IN ('created', 'pending') AND o.source = :source
        AND o.updated_at <= :until AND o.updated_at > :oldest AND {_NOT_YET} ORDER BY o.id LIMIT :most
    ON CONFLICT DO NOTHING
    """
).bindparams(*(bindparam(name, type_=_TIME) for name in ("now", "until", "oldest")))
# What awaits the provider's word comes before what only may have been paid: however many of those there are, they make it wait
# for one question. Two look-ups, so that neither reads more than it returns.
_DUE = "FROM polls WHERE source = :source AND due_at <= :now"
_NEXT = "coalesce((SELECT {0} {1} AND reason <> 'unpaid' ORDER BY due_at LIMIT 1), (SELECT {0} {1} ORDER BY due_at LIMIT 1))"
_NEXT_REASON = text(f"SELECT {_NEXT.format('reason', _DUE)}").bindparams(bindparam("now", type_=_TIME))
# `due_at` is compared once more outside: of two takers the later one looks at the row again as the first one left it.
_TAKE = (
    text(
        f"""
    UPDATE polls SET due_at = :until WHERE source = :source AND due_at <= :now AND orderid = {_NEXT.format("orderid", _DUE)}
    RETURNING source, orderid, namespace, reason, tries, created_at
    """
    )
    .bindparams(bindparam("now", type_=_TIME), bindparam("until", type_=_TIME))
    .columns(created_at=_TIME)
)
