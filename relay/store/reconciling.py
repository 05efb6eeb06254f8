"""Own the statements of a run: changed orders are taken, their facts read by the page, and only what differs is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, text, tuple_

from relay.core.breaks import HOLDING
from relay.core.triage import Story
from relay.core.witnesses import Absence
from relay.store.agreement import UNTOLD
from relay.store.bulk import given, types_of, with_rows
from relay.store.engine import is_sqlite, together
from relay.store.intake import STOP
from relay.store.releases import STATE_AFTER_HOLD
from relay.store.rows import breaks, dirty, dirty_work, match_states, orders

Key = tuple[str, str]
_TIME = orders.c.created_at.type


def take(connection: Connection, *, now: datetime, most: int) -> bool:
    """Move visible rows of the log, and orders whose time has come, to the work of this run; tell whether there is work.

    What commits later stays for the next run. The caller commits before it
    reads facts, so that a change is either seen or taken again.
    """
    for statement in _TAKE_SQLITE if is_sqlite(connection) else (_TAKE_POSTGRES,):
        connection.execute(statement, {"most": most})
    connection.execute(_TAKE_DUE, {"most": most, "now": now})
    return connection.scalar(select(dirty_work.c.namespace).limit(1)) is not None


def work(connection: Connection, *, limit: int, after: Key = ("", "")) -> list[Key]:
    """Return orders that are to be judged, in their order."""
    key = (dirty_work.c.namespace, dirty_work.c.orderid)
    rows = connection.execute(select(*key).where(tuple_(*key) > after).order_by(*key).limit(limit))
    return [(namespace, orderid) for namespace, orderid in rows]


def done(connection: Connection, keys: Collection[Key]) -> None:
    """Strike orders from the work."""
    connection.execute(_DONE.on(connection), given(_named(keys)))


@dataclass(frozen=True, slots=True)
class Kept:
    """What earlier runs wrote of orders: the breaks that they have, by id, how each stood, and what nodes were asked, by its key."""

    breaks: Mapping[str, Mapping[str, Any]]
    states: Mapping[Key, Mapping[str, Any]]
    asked: Collection[Key]


def stories(connection: Connection, keys: Collection[Key]) -> tuple[list[Story], Kept]:
    """Return what the witnesses of orders say, and what is kept of them."""
    asked = given(_named(keys))
    statements = (_ORDERS, _TOLD, _MOVED, _UNTOLD, _WORD_OF, _BREAKS, _STOOD, _CONFIRMED)
    found = together(connection, *((one.on(connection), asked) for one in statements))
    rows, told, moved, untold, words, known, stood, heard = found
    witnesses = (_by_key(told), _by_key(moved), _by_key(untold), _by_key(words), _absences(heard))
    kept = Kept({row["id"]: row for row in known}, _by_key(stood), _by_key(heard).keys())
    return [_story(row, *witnesses) for row in rows], kept


def _story(order: Mapping[str, Any], *witnesses: Mapping[Key, Mapping[str, Any]]) -> Story:
    """An order, and of each witness what it says of it: one that is silent leaves its fields at their defaults."""
    known = dict(order)
    for witness in witnesses:
        known |= witness.get((order["namespace"], order["orderid"]), {})
    return Story(**known)


def _absences(rows: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Absence]]:
    """What nodes confirm; of what they do not confirm the story says nothing."""
    found = {}
    for row in rows:
        if row["state"] == "confirmed":
            blocks = {name: row[name] for name in ("first_block", "last_block")}
            found[row["namespace"], row["orderid"]] = {"absence": Absence(agree=row["agree"], **blocks)}
    return found


def _by_key(rows: Iterable[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    return {(row["namespace"], row["orderid"]): row for row in rows}


def write_states(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write how orders stand."""
    if rows:
        connection.execute(_STATES.on(connection), given(rows))


def changed(rows: Iterable[Mapping[str, Any]], kept: Kept) -> list[Mapping[str, Any]]:
    """Return those that tell of orders that stood otherwise."""
    # An upsert that changes nothing still writes the row's lock on Postgres.
    return [row for row in rows if _differs(row, kept.states.get((row["namespace"], row["orderid"])))]


def _differs(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    return before is None or any(row[name] != before[name] for name in _COMPARED)


def open_breaks(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Open breaks, or open them again, or note what changed about them; an owner and a note stay."""
    if rows:
        connection.execute(_OPEN.on(connection), given(rows))


def clear_breaks(connection: Connection, ids: Collection[str], *, now: datetime) -> None:
    """Close breaks whose cause is gone."""
    if ids:
        rows = [{"id": one, "resolved_at": now} for one in sorted(ids)]
        connection.execute(_CLEAR.on(connection), given(rows))


def stop(connection: Connection, keys: Collection[Key]) -> None:
    """Hold the credits of orders that no subscriber was sent yet."""
    connection.execute(STOP.on(connection), given(_named(keys)))


def let_go(connection: Connection, keys: Collection[Key], *, now: datetime) -> None:
    """Let the deliveries of orders go that were held, where neither a person nor another break has to speak first."""
    connection.execute(_LET_GO.on(connection), given(_named(keys), now=now))


def mark(connection: Connection, keys: Collection[Key]) -> None:
    """Have orders looked at by the next run."""
    connection.execute(insert(dirty), _named(keys))


def mark_all(connection: Connection) -> None:
    """Have every order looked at again, as after a change of rules or a restored database."""
    connection.execute(text("INSERT INTO dirty (namespace, orderid) SELECT namespace, orderid FROM orders"))


def state_of(connection: Connection, key: Key) -> RowMapping | None:
    """Return how an order stood when it was looked at last."""
    mine = (match_states.c.namespace == key[0], match_states.c.orderid == key[1])
    return connection.execute(select(match_states).where(*mine)).mappings().first()


def _named(keys: Collection[Key]) -> list[dict[str, str]]:
    return [{"namespace": namespace, "orderid": orderid} for namespace, orderid in sorted(keys)]


_KEY = types_of(orders, ("namespace", "orderid"))
# Only what the very statement deletes is taken: on Postgres other rows may become visible between two statements.
_OLDEST = "SELECT id FROM dirty ORDER BY id LIMIT :most"
_WORK = "INSERT INTO dirty_work (namespace, orderid) SELECT DISTINCT namespace, orderid FROM"
_TAKE_POSTGRES = text(
    f"""
    WITH taken AS (DELETE FROM dirty WHERE id IN ({_OLDEST}) RETURNING namespace, orderid)
    {_WORK} taken ON CONFLICT DO NOTHING
    """
)
_TAKE_SQLITE = (
    text(f"{_WORK} dirty WHERE id IN ({_OLDEST}) ON CONFLICT DO NOTHING"),
    text(f"DELETE FROM dirty WHERE id IN ({_OLDEST})"),
)
_TAKE_DUE = text(
    f"""
    {_WORK} (SELECT namespace, orderid FROM match_states WHERE due_at IS NOT NULL AND due_at <= :now LIMIT :most) AS due
    WHERE true ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("now", type_=_TIME))
# A row-value IN is a look-up by key; EXISTS would read the page's rows again for each order of the work.
_DONE = with_rows(
    "DELETE FROM dirty_work WHERE (namespace, orderid) IN (SELECT g.namespace, g.orderid FROM {rows} AS g)",
    _KEY,
)
# One statement for each witness: joined to each other, a planner that expects one row of each would go through all
# that one said for each order. Every join goes by an index of the order's key.
_ORDERS = with_rows(
    """
    SELECT o.namespace, o.orderid, o.source, o.state, o.credited_micros, o.amount_micros, o.flags, o.registered,
        o.chain, o.address, o.created_at, o.expires_at,
        CASE WHEN h.source IS NULL THEN NULL ELSE coalesce(h.status, 'unknown') END AS provider_status,
        h.amount_micros AS provider_micros, coalesce(h.unit_micros, 1) AS provider_unit, h.tx_hash AS provider_tx,
        h.occurred_at AS provider_occurred, h.changed_at AS provider_at, h.checked_at AS asked_at
    FROM {rows} AS g JOIN orders o ON o.namespace = g.namespace AND o.orderid = g.orderid
    LEFT JOIN provider_facts h ON h.orderid = o.orderid AND h.source = (
        SELECT f.source FROM provider_facts f WHERE f.namespace = o.namespace AND f.orderid = o.orderid
        ORDER BY CASE f.status WHEN 'succeeded' THEN 0 WHEN 'refunded' THEN 1 ELSE 2 END, f.changed_at DESC, f.source
        LIMIT 1)
    """,
    _KEY,
    registered=orders.c.registered.type,
    **dict.fromkeys(("created_at", "expires_at", "provider_occurred", "provider_at", "asked_at"), _TIME),
)
_PAID = "c.verdict = 'accepted' AND c.status = 'succeeded'"
_TOLD = with_rows(
    f"""
    SELECT c.namespace, c.orderid, CAST(sum(CASE WHEN {_PAID} THEN c.amount_micros END) AS BIGINT) AS told_micros,
        min(CASE WHEN {_PAID} THEN c.received_at END) AS told_at, min(CASE WHEN {_PAID} THEN c.tx_hash END) AS told_tx,
        min(CASE WHEN {_PAID} THEN c.occurred_at END) AS told_occurred,
        count(CASE WHEN c.verdict = 'rejected' THEN 1 END) AS refused,
        max(CASE WHEN c.verdict = 'rejected' THEN c.reason END) AS refused_reason
    FROM {{rows}} AS g JOIN callbacks c ON c.namespace = g.namespace AND c.orderid = g.orderid
    GROUP BY c.namespace, c.orderid
    """,
    _KEY,
    told_at=_TIME,
    told_occurred=_TIME,
)
_MOVED = with_rows(
    """
    SELECT m.namespace, m.orderid,
        CAST(sum(CASE WHEN t.is_final THEN t.amount_micros ELSE 0 END) AS BIGINT) AS final_micros,
        sum(CASE WHEN t.is_final THEN 1 ELSE 0 END) AS final_count,
        sum(CASE WHEN t.is_final THEN 0 ELSE 1 END) AS open_count,
        min(CASE WHEN t.is_final THEN t.tx_hash END) AS first_tx,
        max(CASE WHEN t.is_final THEN t.tx_hash END) AS last_tx,
        min(t.block_time) AS paid_at, max(coalesce(m.final_at, m.matched_at)) AS settled_at
    FROM {rows} AS g
    JOIN matches m ON m.namespace = g.namespace AND m.orderid = g.orderid AND m.reversed_at IS NULL
    JOIN transfers t ON t.chain = m.chain AND t.tx_hash = m.tx_hash AND t.log_index = m.log_index
        AND t.orphaned_at IS NULL
    GROUP BY m.namespace, m.orderid
    """,
    _KEY,
    paid_at=_TIME,
    settled_at=_TIME,
)
# A CROSS JOIN holds SQLite to its order, and a coalesce to the index of the event: left to itself it would go through all
# that is dead for each order. A deleted endpoint is told nothing more.
_UNTOLD = with_rows(
    f"""
    SELECT e.namespace, e.orderid, count(CASE WHEN d.state = 'dead' THEN 1 END) AS dead,
        min(CASE WHEN d.state <> 'dead' THEN coalesce(d.owed_since, d.created_at) END) AS untold_since
    FROM {{rows}} AS g CROSS JOIN events e CROSS JOIN deliveries d CROSS JOIN endpoints p
    WHERE e.namespace = g.namespace AND e.orderid = g.orderid AND e.type LIKE 'recharge.%'
        AND d.event_sequence = e.sequence AND {UNTOLD} AND p.id = d.endpoint_id AND p.deleted_at IS NULL
    GROUP BY e.namespace, e.orderid
    """,
    _KEY,
    untold_since=_TIME,
)
_WORD_OF = with_rows(
    """
    SELECT u.namespace, u.claimed_by AS orderid, min(u.orderid) AS word_of FROM {rows} AS g
    JOIN unordered_credits u ON u.namespace = g.namespace AND u.claimed_by = g.orderid AND u.claimed_by IS NOT NULL
    GROUP BY u.namespace, u.claimed_by
    """,
    _KEY,
)
_BREAKS = with_rows(
    """
    SELECT b.id, b.kind, b.state, b.namespace, b.orderid, b.evidence, b.amount_micros, b.severity, b.resolved_by
    FROM {rows} AS g JOIN breaks b ON b.namespace = g.namespace AND b.orderid = g.orderid
    """,
    _KEY,
)
_STATE_COLUMNS = tuple(match_states.c.keys())
_COMPARED = ("verdict", "kinds", "flags", "drift_micros", "due_at")
_STOOD = with_rows(
    f"""
    SELECT s.namespace, s.orderid, {", ".join(f"s.{name}" for name in _COMPARED)}
    FROM {{rows}} AS g JOIN match_states s ON s.namespace = g.namespace AND s.orderid = g.orderid
    """,
    _KEY,
    due_at=_TIME,
)
_CONFIRMED = with_rows(
    """
    SELECT t.namespace, t.orderid, t.state, t.agree, t.first_block, t.last_block FROM {rows} AS g
    JOIN testimonies t ON t.kind = 'phantom_credit' AND t.namespace = g.namespace AND t.orderid = g.orderid
    """,
    _KEY,
)
_STATES = with_rows(
    f"""
    INSERT INTO match_states ({", ".join(_STATE_COLUMNS)}) SELECT {", ".join(_STATE_COLUMNS)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (namespace, orderid) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _STATE_COLUMNS[2:])}
    """,
    types_of(match_states, _STATE_COLUMNS),
)
_NEW_BREAK = (
    "id",
    "kind",
    "severity",
    "state",
    "namespace",
    "orderid",
    "chain",
    "subject",
    "address",
    "tx_hash",
    "amount_micros",
    "evidence",
    "first_seen",
    "last_seen",
)
_OPEN = with_rows(
    f"""
    INSERT INTO breaks ({", ".join(_NEW_BREAK)}) SELECT {", ".join(_NEW_BREAK)} FROM {{rows}} AS g WHERE true
    ON CONFLICT (id) DO UPDATE SET state = 'open', namespace = excluded.namespace, amount_micros = excluded.amount_micros,
        evidence = excluded.evidence, last_seen = excluded.last_seen, resolved_at = NULL, resolved_by = NULL
    """,
    types_of(breaks, _NEW_BREAK),
)
_CLEAR = with_rows(
    """
    UPDATE breaks SET state = 'resolved', resolved_at = g.resolved_at, resolved_by = 'reconciler'
    FROM {rows} AS g WHERE breaks.id = g.id AND breaks.state = 'open'
    """,
    types_of(breaks, ("id", "resolved_at")),
)
_LET_GO = with_rows(
    f"""
    UPDATE deliveries SET due_at = :now, owed_since = :now, state = {STATE_AFTER_HOLD}
    WHERE state = 'held' AND event_sequence IN (
        SELECT e.sequence FROM {{rows}} AS g
        JOIN orders o ON o.namespace = g.namespace AND o.orderid = g.orderid AND o.state <> 'held'
        JOIN events e ON e.namespace = g.namespace AND e.orderid = g.orderid
        WHERE NOT EXISTS (SELECT 1 FROM breaks b WHERE b.namespace = g.namespace AND b.orderid = g.orderid
            AND b.state = 'open' AND b.kind IN ({", ".join(f"'{kind}'" for kind in sorted(HOLDING))})))
    """,
    _KEY,
)
