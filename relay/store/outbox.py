"""Own the outbox: deliveries are claimed with a lease, settled in bulk, and reclaimed when their process vanished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, text

from relay.core.health import PROBED_AT
from relay.core.retries import Step
from relay.store.bulk import Statement, given, with_ids, with_rows
from relay.store.engine import is_sqlite, together
from relay.store.health import Report, noted
from relay.store.rows import deliveries
from relay.store.turns import ALLOWED, WAITS, follow, micros_of, postpone, spend

_TIME = deliveries.c.due_at.type
# How often one claim looks again for what is behind deliveries that have to wait.
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until its lease ends, with its attempt already opened; `url` is the order's own where it has one."""

    delivery_id: int
    number: int
    failures: int
    unknowns: int
    endpoint_id: str
    event_sequence: int
    event_id: str
    event_type: str
    body: str
    url: str
    secrets: str
    gone_at: datetime | None
    failing_since: datetime | None = None
    failing_told_at: datetime | None = None
    failures_in_row: int = 0
    format: str = "standard"
    signing: str = "source"
    headers: str | None = None
    rate: int | None = None
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of a claim, to be written."""

    claim: Claim
    step: Step
    finished_at: datetime
    status: int | None = None
    error: str | None = None
    latency_ms: int | None = None
    answer: str = ""


def claim(
    connection: Connection, *, owner: str, room: int, now: datetime, lease_s: float, among: int = 1
) -> list[Claim]:
    """Take up to `room` due deliveries, no more for each endpoint than its free slots, and its rate, over all processes.

    The caller holds the claim lock, so that the count of an endpoint's open
    exchanges is true. One endpoint's backlog cannot crowd out another's.
    `among` processes share its slots alike: whoever settles and claims in one
    transaction would take its own again, and leave none to its neighbours.
    """
    ids = _due(connection, owner=owner, room=room, now=now, among=among)
    if not ids:
        return []
    leased = given(ids, now=now, until=now + timedelta(seconds=lease_s), owner=owner)
    *_, claimed = together(connection, *((one.on(connection), leased) for one in (_LEASE, _OPEN, _CLAIMED)))
    claims = [Claim(**row) for row in claimed]
    paced = Counter((one.endpoint_id, one.rate) for one in claims if one.rate is not None)
    if paced:
        spend(connection, {id_: (rate, count) for (id_, rate), count in paced.items()}, now=now)
    return claims


def settle(connection: Connection, settlements: Sequence[Settlement], reports: Sequence[Report] = ()) -> None:
    """Write the outcomes of many claims in two statements, with what they report of endpoints; free what waited behind them.

    An outcome that comes after its lease was reclaimed still counts, as long
    as no later attempt was opened.
    """
    rows = given([_outcome(one) for one in settlements])
    closing = [(one.on(connection), rows) for one in (_CLOSE_ATTEMPTS, _CLOSE_DELIVERIES)]
    together(connection, *closing, *noted(connection, reports))
    first = [one for one in settlements if one.claim.ordered and one.step.state in ("delivered", "dead")]
    if first:
        now = max(one.finished_at for one in first)
        follow(connection, [one.claim.delivery_id for one in first], now=now)


def give_back(connection: Connection, claims: Iterable[Claim]) -> None:
    """Undo claims that were never sent: no attempt is spent. One that somebody has claimed anew meanwhile stays theirs."""
    rows = given([{"delivery_id": one.delivery_id, "number": one.number} for one in claims])
    connection.execute(_FORGET_ATTEMPTS.on(connection), rows)
    connection.execute(_UNLEASE.on(connection), rows)


def expired(connection: Connection, *, now: datetime, most: int = 500) -> list[Claim]:
    """Return claims whose lease has ended without an outcome."""
    return [Claim(**row) for row in connection.execute(_EXPIRED, {"now": now, "most": most}).mappings()]


def _outcome(one: Settlement) -> dict[str, Any]:
    step = one.step
    return {
        "delivery_id": one.claim.delivery_id,
        "number": one.claim.number,
        "outcome": step.outcome,
        "status": one.status,
        "error": one.error,
        "latency_ms": one.latency_ms,
        "answer": one.answer or None,
        "state": step.state,
        "failures": step.failures,
        "unknowns": step.unknowns,
        "due_at": step.due_at,
        "finished_at": one.finished_at,
    }


def _due(connection: Connection, *, now: datetime, **asked: Any) -> list[int]:
    """Return what is due and need not wait; what has to makes room for what is behind it."""
    look = _sqlite_look if is_sqlite(connection) else _postgres_look
    ids: list[int] = []
    for _ in range(_LOOKS):
        found = look(connection, {"now": now, "now_us": micros_of(now)} | asked)
        ids, waiting = ([id_ for id_, waits in found if bool(waits) is kind] for kind in (False, True))
        if not waiting:
            break
        postpone(connection, waiting, now=now)
    return ids


def _postgres_look(connection: Connection, asked: dict[str, Any]) -> list[tuple[int, bool]]:
    return [(id_, waits) for id_, waits in connection.execute(_POSTGRES_DUE, asked)]


def _sqlite_look(connection: Connection, asked: dict[str, Any]) -> list[tuple[int, bool]]:
    """SQLite has no lateral join; asking once for each endpoint costs it no network."""
    found: list[tuple[int, int, bool]] = []
    for endpoint_id, ordered, free in connection.execute(_SQLITE_FREE, asked).all():
        mine = {"endpoint_id": endpoint_id, "ordered": ordered, "now": asked["now"], "free": min(free, asked["room"])}
        found.extend((place, *row) for place, row in enumerate(connection.execute(_SQLITE_DUE, mine)))
    return [(id_, waits) for _, id_, waits in sorted(found)[: asked["room"]]]


_OPEN_ENDPOINTS = f"""
    SELECT p.id, p.ordered, {ALLOWED} AS allowed,
        (SELECT {{least}}(
                CASE WHEN p.failures_in_row < {PROBED_AT} THEN p.concurrency ELSE 1 END - count(*),
                (p.concurrency + :among - 1) / :among - count(*) FILTER (WHERE s.lease_owner = :owner))
            FROM deliveries s WHERE s.endpoint_id = p.id AND s.state = 'sending') AS free
    FROM endpoints p
    WHERE p.state = 'enabled' AND p.deleted_at IS NULL AND (p.not_before IS NULL OR p.not_before <= :now)
"""
_SQLITE_FREE = text(
    f"SELECT id, ordered, min(free, allowed) FROM ({_OPEN_ENDPOINTS.format(least='min')}) WHERE min(free, allowed) > 0"
).bindparams(bindparam("now", type_=_TIME))
_SQLITE_DUE = text(
    f"""
    SELECT d.id, CASE WHEN :ordered THEN {WAITS} ELSE 0 END FROM deliveries d
    WHERE d.endpoint_id = :endpoint_id AND d.state = 'pending' AND d.due_at <= :now
    ORDER BY d.due_at, d.id LIMIT :free
    """
).bindparams(bindparam("now", type_=_TIME))
# By place, so that the first of each endpoint comes before the second of any. A row that somebody else holds just now is left to
# the next claim: to wait for it would hold up all endpoints.
_POSTGRES_DUE = text(
    f"""
    SELECT due.id, due.waits FROM ({_OPEN_ENDPOINTS.format(least="least")}) AS open
    CROSS JOIN LATERAL (
        SELECT id, waits, row_number() OVER (ORDER BY due_at, id) AS place FROM (
            SELECT d.id, d.due_at, CASE WHEN open.ordered THEN {WAITS} ELSE false END AS waits FROM deliveries d
            WHERE d.endpoint_id = open.id AND d.state = 'pending' AND d.due_at <= :now
            ORDER BY d.due_at, d.id LIMIT greatest(least(open.free, open.allowed, :room), 0) FOR UPDATE SKIP LOCKED
        ) AS first) AS due
    ORDER BY due.place, due.id LIMIT :room
    """
)


_OUTCOME_TYPES = {
    "delivery_id": "bigint",
    "number": "integer",
    "outcome": "text",
    "status": "integer",
    "error": "text",
    "latency_ms": "integer",
    "answer": "text",
    "state": "text",
    "failures": "integer",
    "unknowns": "integer",
    "due_at": "timestamptz",
    "finished_at": "timestamptz",
}


_LEASE = with_ids(
    """
    UPDATE deliveries SET state = 'sending', attempts = attempts + 1, lease_until = :until, lease_owner = :owner
    WHERE id IN (SELECT id FROM {rows} AS g)
    """
)
_OPEN = with_ids(
    """
    INSERT INTO attempts (delivery_id, number, started_at)
    SELECT id, attempts, :now FROM deliveries WHERE id IN (SELECT id FROM {rows} AS g)
    """
)
_CLAIM_COLUMNS = """
    d.id AS delivery_id, d.attempts AS number, d.failures, d.unknowns, d.endpoint_id, d.event_sequence,
    e.id AS event_id, e.type AS event_type, e.body, p.secrets, p.gone_at,
    p.failing_since, p.failing_told_at, p.failures_in_row, p.format, p.signing, p.headers, p.rate, p.ordered,
    CASE WHEN p.kind = 'per_order' THEN coalesce(e.notify_url, p.url) ELSE p.url END AS url
    FROM deliveries d JOIN events e ON e.sequence = d.event_sequence JOIN endpoints p ON p.id = d.endpoint_id
"""
_HEALTH = dict.fromkeys(("gone_at", "failing_since", "failing_told_at"), _TIME)
_CLAIMED = with_ids(
    f"SELECT {_CLAIM_COLUMNS} WHERE d.id IN (SELECT id FROM {{rows}} AS g) ORDER BY d.event_sequence, d.id",
    **_HEALTH,
)
_EXPIRED = (
    text(
        f"SELECT {_CLAIM_COLUMNS} WHERE d.state = 'sending' AND d.lease_until < :now ORDER BY d.lease_until, d.id LIMIT :most"
    )
    .bindparams(bindparam("now", type_=_TIME))
    .columns(**_HEALTH)
)
_CLOSE_ATTEMPT = """
    UPDATE attempts SET finished_at = g.finished_at, outcome = g.outcome, status = g.status,
        error = g.error, latency_ms = g.latency_ms, answer = g.answer
    FROM {found} AS g
    WHERE {is_it} AND (attempts.outcome IS NULL OR attempts.outcome = 'unknown')
    """
# Postgres must come to the attempts from the batch, whatever it believes of a table that was empty when it was looked at last:
# the other way round, each attempt there is would go through the whole batch. Quiet outcomes are written under the claim lock;
# of two who close one attempt at once, one loudly, the later leaves the attempt as it is and closes the delivery all the same.
_BY_PLACE = """(
        SELECT g.*, a.place FROM {rows} AS g CROSS JOIN LATERAL (
            SELECT ctid AS place FROM attempts WHERE delivery_id = g.delivery_id AND number = g.number OFFSET 0
        ) AS a
    )"""
_CLOSE_ATTEMPTS = Statement(
    sqlite=with_rows(
        _CLOSE_ATTEMPT.format(
            found="{rows}", is_it="attempts.delivery_id = g.delivery_id AND attempts.number = g.number"
        ),
        _OUTCOME_TYPES,
    ).sqlite,
    postgres=with_rows(
        _CLOSE_ATTEMPT.format(found=_BY_PLACE, is_it="attempts.ctid = g.place"), _OUTCOME_TYPES
    ).postgres,
)
# The coalesce keeps SQLite from walking the index on state where the primary key is the way.
_CLOSE_DELIVERIES = with_rows(
    """
    UPDATE deliveries SET state = g.state, failures = g.failures, unknowns = g.unknowns,
        due_at = coalesce(g.due_at, deliveries.due_at), lease_until = NULL, lease_owner = NULL,
        last_status = g.status, last_error = g.error,
        finished_at = CASE WHEN g.state IN ('delivered', 'dead') THEN g.finished_at END
    FROM {rows} AS g
    WHERE deliveries.id = g.delivery_id AND deliveries.attempts = g.number
        AND (coalesce(deliveries.state, '') = 'sending'
            OR g.outcome <> 'unknown' AND coalesce(deliveries.state, '') IN ('pending', 'paused'))
    """,
    _OUTCOME_TYPES,
)
_CLAIM_TYPES = {"delivery_id": "bigint", "number": "integer"}
_FORGET_ATTEMPTS = with_rows(
    """
    DELETE FROM attempts WHERE outcome IS NULL AND (delivery_id, number) IN (
        SELECT g.delivery_id, g.number FROM {rows} AS g
        JOIN deliveries d ON d.id = g.delivery_id AND d.attempts = g.number AND coalesce(d.state, '') = 'sending')
    """,
    _CLAIM_TYPES,
)
_UNLEASE = with_rows(
    """
    UPDATE deliveries SET state = 'pending', attempts = deliveries.attempts - 1, lease_until = NULL, lease_owner = NULL
    FROM {rows} AS g
    WHERE deliveries.id = g.delivery_id AND deliveries.attempts = g.number
        AND coalesce(deliveries.state, '') = 'sending'
    """,
    _CLAIM_TYPES,
)
