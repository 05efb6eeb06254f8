"""Own whose provider will be asked about which order, and when."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, text, update

from relay.core.sources import Source
from relay.store.rows import polls

# An order that nobody paid for this long is not asked about any more, and an older one is not begun with.
LONGEST = timedelta(days=7)
MOST = 200
# So often an order whose money is there comes before all others, an hour long; then it takes its turn among them, so that what a
# provider never calls paid does not keep it from being asked about anything else.
EAGER = 120


def request_poll(
    connection: Connection, source: Source, orderid: str, *, reason: str, due_at: datetime, now: datetime
) -> None:
    """Have an order's provider asked at `due_at`, or sooner when that was planned; the reason is the newest one, and counts from now."""
    asked = {"source": source.name, "namespace": source.namespace, "orderid": orderid, "reason": reason}
    connection.execute(_REQUEST, asked | {"due_at": due_at, "now": now})


def enrol(connection: Connection, source: Source, *, now: datetime) -> int:
    """Plan to ask about what awaits the provider's word, and about what nobody has paid within the grace; return how many."""
    bounds = {"source": source.name, "now": now, "oldest": now - LONGEST, "most": MOST}
    unpaid = connection.execute(_ENROL_UNPAID, bounds | {"until": now - timedelta(seconds=source.grace_s)}).rowcount
    if "provider" not in source.evidence:
        return unpaid
    return unpaid + connection.execute(_ENROL_CONFIRMING, bounds).rowcount


def is_next_urgent(connection: Connection, source: str, *, now: datetime) -> bool | None:
    """Tell whether the order that a source's provider is to be asked about now awaits its word; None where there is none."""
    found = connection.execute(_NEXT_IS, {"source": source, "now": now}).one()
    return bool(found.is_urgent) if found.is_due else None


def take(connection: Connection, source: str, *, now: datetime, until: datetime) -> RowMapping | None:
    """Take the order that has been due the longest of those that await the provider's word, else of all; nobody else gets it before `until`."""
    return connection.execute(_TAKE, {"source": source, "now": now, "until": until}).mappings().first()


def put_off(connection: Connection, taken: RowMapping, *, until: datetime, due_at: datetime) -> None:
    """Ask again later about an order that was taken `until` then; what was requested meanwhile stands."""
    connection.execute(update(polls).where(*_as_taken(taken, until)).values(due_at=due_at, tries=polls.c.tries + 1))


def drop(connection: Connection, taken: RowMapping, *, until: datetime) -> None:
    """Ask no more about an order that was taken `until` then; what was requested meanwhile stands."""
    connection.execute(delete(polls).where(*_as_taken(taken, until)))


def _as_taken(taken: RowMapping, until: datetime) -> tuple[ColumnElement[bool], ...]:
    """The row, while nobody has asked for a question since: that names its reason, and may bring it forward."""
    same = (polls.c[name] == taken[name] for name in ("source", "orderid", "reason"))
    return (*same, polls.c.due_at == until)


_TIME = polls.c.due_at.type
_REQUEST = text(
    """
    INSERT INTO polls (source, orderid, namespace, reason, tries, due_at, created_at)
    VALUES (:source, :orderid, :namespace, :reason, 0, :due_at, :now)
    ON CONFLICT (source, orderid) DO UPDATE SET reason = excluded.reason, tries = 0, created_at = excluded.created_at,
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
_URGENT = f"{_DUE} AND reason <> 'unpaid' AND tries < {EAGER}"
_NEXT = f"coalesce((SELECT orderid {_URGENT} ORDER BY due_at LIMIT 1), (SELECT orderid {_DUE} ORDER BY due_at LIMIT 1))"
_NEXT_IS = text(f"SELECT EXISTS (SELECT 1 {_URGENT}) AS is_urgent, EXISTS (SELECT 1 {_DUE}) AS is_due").bindparams(
    bindparam("now", type_=_TIME)
)
# `due_at` is compared once more outside: of two takers the later one looks at the row again as the first one left it.
_TAKE = (
    text(
        f"""
    UPDATE polls SET due_at = :until WHERE source = :source AND due_at <= :now AND orderid = {_NEXT}
    RETURNING source, orderid, namespace, reason, tries, created_at
    """
    )
    .bindparams(bindparam("now", type_=_TIME), bindparam("until", type_=_TIME))
    .columns(created_at=_TIME)
)
