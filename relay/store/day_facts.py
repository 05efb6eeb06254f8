"""Own what a day is made of: for each order what the provider says, what the relay credited and what the chain shows.

An order belongs to a day three times over: with the relay by the commit of
the event, with the provider by the time it tells (of a callback alone: its
arrival), with the chain by the time of the block. What the provider answered
counts before what it called back.

A sealed day keeps what was known when it was prepared. An answer about it
that comes later is `late`: it belongs to the day on which it came, less what
a sealed day has counted for that order by its callback; less that, too, where
it tells no time, or one just after the cut. A day that is opened again gets it
back, unless the day on which it came was sealed with it meanwhile: that one
keeps it, also when it is sealed anew, and the other keeps what its callbacks said.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, bindparam, select, text

from relay.core.days import Day
from relay.core.ids import time_ordered_id
from relay.core.statement import Bridge, Line, Sum
from relay.store.engine import in_pieces
from relay.store.halving import first_since
from relay.store.rows import callbacks, day_closes, events, orders

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
# How far rows may become visible out of the order of their numbers.
_SKEW = timedelta(minutes=5)
# A provider's time lies no further behind its own callback's arrival: more is a break (`clock_anomaly`).
_APART = timedelta(minutes=10)
_TIME = orders.c.created_at.type

# A version of a day that is sealed, or was when the asked day was prepared.
_STOOD = "(d.state = 'sealed' OR d.reopened_at > :known)"


def _is_kept(of: str) -> str:
    """Spell that a sealed day has what was told of a moment `of`: it was sealed before the moment's own day was opened again."""
    # Most books were never opened again: that is asked once, and not for each order.
    return f"""(EXISTS (SELECT 1 FROM day_closes WHERE state = 'reopened') AND EXISTS (
        SELECT 1 FROM day_closes v JOIN day_closes d ON {_STOOD} AND f.changed_at >= d.starts_at
            AND f.changed_at < d.ends_at AND f.changed_at < d.prepared_at AND v.reopened_at > d.prepared_at
        WHERE v.state = 'reopened' AND {of} >= v.starts_at AND {of} < v.ends_at AND v.prepared_at <= f.changed_at))"""


# A sealed version has not counted what was told after it was prepared, nor what a day had that was opened again since.
_MISSED = """(d.prepared_at <= f.changed_at OR EXISTS (SELECT 1 FROM day_closes v JOIN day_closes k ON k.state = 'reopened'
    AND f.changed_at >= k.starts_at AND f.changed_at < k.ends_at AND f.changed_at < k.prepared_at
    AND k.reopened_at > d.prepared_at AND v.reopened_at > k.prepared_at
    WHERE v.day = d.day AND v.state = 'reopened' AND v.prepared_at <= f.changed_at))"""
# What sealed days have counted of an order by its callbacks.
_COUNTED = f"""CAST(coalesce((
    SELECT sum(c.amount_micros) FROM callbacks c JOIN day_closes d ON {_STOOD}
        AND c.received_at >= d.starts_at AND c.received_at < d.ends_at AND {_MISSED}
    WHERE c.namespace = f.namespace AND c.orderid = f.orderid AND c.verdict = 'accepted'
        AND c.status = 'succeeded' AND c.origin = 'callback'), 0) AS BIGINT)"""
_FACTS = f"""
    heard AS (
        SELECT f.namespace, f.orderid, f.amount_micros - CASE WHEN f.occurred_at IS NULL OR f.occurred_at < :near
            THEN {_COUNTED} ELSE 0 END AS micros, coalesce(f.occurred_at, f.changed_at) AS at, 'answer' AS by_word
        FROM provider_facts f WHERE f.status = 'succeeded' AND f.amount_micros IS NOT NULL AND f.changed_at < :known
            AND (f.occurred_at >= :start AND f.occurred_at < :end
                OR f.occurred_at IS NULL AND f.changed_at >= :start AND f.changed_at < :end)
            AND (f.changed_at < :end OR NOT {_is_kept("f.occurred_at")})
        UNION ALL
        SELECT f.namespace, f.orderid, f.amount_micros - {_COUNTED}, f.changed_at, 'late'
        FROM provider_facts f WHERE f.status = 'succeeded' AND f.amount_micros IS NOT NULL AND f.changed_at < :known
            AND f.changed_at >= :start AND f.changed_at < :end AND f.occurred_at < :start
            AND EXISTS (SELECT 1 FROM day_closes d WHERE {_STOOD} AND f.occurred_at >= d.starts_at
                AND f.occurred_at < d.ends_at AND {_MISSED})
    ), facts AS (
        SELECT namespace, orderid, max(micros) AS micros, min(at) AS at, min(by_word) AS by_word
        FROM heard WHERE micros <> 0 GROUP BY namespace, orderid
    ), called AS (
        SELECT c.namespace, c.orderid, CAST(sum(c.amount_micros) AS BIGINT) AS micros, min(c.received_at) AS at
        FROM callbacks c WHERE c.id >= :first_id AND c.id < :last_id AND c.verdict = 'accepted'
            AND c.status = 'succeeded' AND c.origin = 'callback' AND c.received_at >= :start AND c.received_at < :end
            AND NOT EXISTS (SELECT 1 FROM provider_facts f WHERE f.namespace = c.namespace AND f.orderid = c.orderid
                AND f.status = 'succeeded' AND f.amount_micros IS NOT NULL AND f.changed_at < :known
                AND (f.changed_at < :end OR NOT {_is_kept("c.received_at")}))
        GROUP BY c.namespace, c.orderid
    ), paid AS (
        SELECT namespace, orderid, micros, at, by_word FROM facts
        UNION ALL SELECT namespace, orderid, micros, at, 'callback' FROM called
    )"""

# Each order of the day, whoever speaks of it, with the one reason why provider and relay differ. Whatever was said of an
# order is put in one heap and sorted once: to sort what each witness says and lay it beside the others takes twice as long.
_ITEMS = (
    "WITH"
    + _FACTS
    + """, said AS (
        SELECT namespace, orderid, micros AS paid, at AS paid_at, by_word, CAST(NULL AS BIGINT) AS credited,
            CAST(NULL AS TIMESTAMPTZ) AS credited_at, NULL AS received, NULL AS received_at, NULL AS chain, NULL AS tx_hash,
            NULL AS block_number, NULL AS block_hash
        FROM paid
        UNION ALL
        SELECT m.namespace, m.orderid, NULL, NULL, NULL, NULL, NULL, t.amount_micros, t.block_time, t.chain, t.tx_hash,
            t.block_number, t.block_hash
        FROM transfers t JOIN matches m ON m.chain = t.chain AND m.tx_hash = t.tx_hash AND m.log_index = t.log_index
        WHERE t.block_time >= :start AND t.block_time < :end AND t.is_final AND t.orphaned_at IS NULL
            AND m.reversed_at IS NULL
        UNION ALL
        SELECT namespace, orderid, NULL, NULL, NULL, delta_micros, created_at, NULL, NULL, NULL, NULL, NULL, NULL
        FROM events WHERE id >= :first_event AND id < :last_event AND delta_micros IS NOT NULL
    ), met AS (
        SELECT namespace, orderid, max(paid) AS provider_micros, min(paid_at) AS provider_at, min(by_word) AS by_word,
            CAST(sum(credited) AS BIGINT) AS relay_micros, min(credited_at) AS relay_at,
            CAST(sum(received) AS BIGINT) AS chain_micros, min(received_at) AS chain_at, min(chain) AS chain,
            min(tx_hash) AS tx_hash, min(block_number) AS block_number, min(block_hash) AS block_hash,
            nullif(count(chain), 0) AS transfers
        FROM said GROUP BY namespace, orderid
    ), items AS (
        SELECT k.namespace, k.orderid, k.provider_micros, k.provider_at, k.by_word, k.relay_micros, k.relay_at,
            k.chain_micros, k.chain_at, k.chain, k.tx_hash, k.block_number, k.block_hash, k.transfers,
            coalesce(k.provider_micros, 0) - coalesce(k.relay_micros, 0) AS difference_micros,
            o.source, o.appid, o.user_ref, o.provider_order_id, o.state, o.held_reason, o.flags, o.credited_micros,
            CASE
                WHEN k.provider_micros IS NULL AND k.relay_micros IS NULL THEN
                    CASE WHEN o.credited_micros > 0 OR o.flags LIKE '%observed%' OR o.state IN ('reversed', 'refunded')
                        THEN 'chain_only' ELSE 'chain_alone' END
                WHEN k.provider_micros = k.relay_micros THEN 'agrees'
                WHEN k.provider_micros IS NOT NULL AND k.relay_micros IS NOT NULL THEN
                    CASE WHEN o.state IN ('reversed', 'refunded') THEN 'taken_back' ELSE 'amount_differs' END
                WHEN k.relay_micros IS NULL AND o.orderid IS NULL THEN 'unknown_order'
                WHEN k.relay_micros IS NULL AND o.credited_micros > 0 AND o.flags LIKE '%imported%' THEN 'credited_elsewhere'
                WHEN k.relay_micros IS NULL AND o.flags LIKE '%observed%' THEN 'credited_elsewhere'
                WHEN k.relay_micros IS NULL AND o.credited_micros > 0 THEN 'credited_other_day'
                WHEN k.relay_micros IS NULL AND o.state = 'held' THEN 'held'
                WHEN k.relay_micros IS NULL AND k.by_word <> 'callback' AND o.state IN ('created', 'creating', 'expired')
                    THEN 'no_callback'
                WHEN k.relay_micros IS NULL AND o.state = 'confirming' THEN 'awaits_evidence'
                WHEN k.relay_micros IS NULL AND o.state IN ('pending', 'created', 'creating') THEN 'pending'
                WHEN k.relay_micros IS NULL THEN 'refused'
                WHEN k.relay_micros = 0 THEN 'agrees'
                WHEN EXISTS (SELECT 1 FROM events b WHERE b.namespace = k.namespace AND b.orderid = k.orderid
                    AND b.delta_micros IS NOT NULL AND b.id < :first_event) THEN 'changed_later'
                WHEN EXISTS (SELECT 1 FROM provider_facts f WHERE f.namespace = k.namespace AND f.orderid = k.orderid
                    AND f.status = 'succeeded' AND f.amount_micros IS NOT NULL)
                    OR EXISTS (SELECT 1 FROM callbacks b WHERE b.namespace = k.namespace AND b.orderid = k.orderid
                    AND b.verdict = 'accepted' AND b.status = 'succeeded' AND b.origin = 'callback')
                    THEN 'paid_other_day'
                WHEN o.flags LIKE '%unordered%' THEN 'unordered'
                ELSE 'no_word'
            END AS reason
        FROM met k
        LEFT JOIN orders o ON o.namespace = k.namespace AND o.orderid = k.orderid
    )
    """
)


def items(
    connection: Connection,
    day: Day,
    *,
    reason: str | None = None,
    limit: int | None = None,
    agreeing_first: bool = False,
) -> Iterator[Mapping[str, Any]]:
    """Return the orders of a day, or those with one reason, by namespace and orderid, piece by piece."""
    statement = _listing(chosen=reason is not None, bounded=limit is not None, agreeing_first=agreeing_first)
    return in_pieces(connection, (statement, _bounds(connection, day) | {"reason": reason, "limit": limit}))


@functools.cache
def _listing(*, chosen: bool, bounded: bool, agreeing_first: bool) -> Any:
    where = "WHERE reason = :reason" if chosen else ""
    first = "CASE reason WHEN 'agrees' THEN 0 ELSE 1 END, " if agreeing_first else ""
    limit = "LIMIT :limit" if bounded else ""
    statement = _bound(f"{_ITEMS} SELECT * FROM items {where} ORDER BY {first}namespace, orderid {limit}")
    return statement.columns(**dict.fromkeys(("provider_at", "relay_at", "chain_at"), _TIME))


@dataclass(frozen=True, slots=True)
class Bridged:
    """What the orders of a day come to, by namespace and by account at a provider ("" where nobody named one).

    `answered` is how much of the provider's word was an answer or a statement, `alone` what only the chain speaks of.
    The money of an order is the larger of both words; `whole` is that of all of them, `agreeing` of those that agree.
    """

    bridges: Mapping[str, Bridge]
    accounts: Mapping[str, tuple[Sum, Sum]]
    answered: Sum
    alone: Sum
    whole: Sum
    agreeing: Sum


def bridged(connection: Connection, day: Day) -> Bridged:
    """Return what the orders of a day come to. Totals and lines are read by statements of their own."""
    asked = _bounds(connection, day)
    paid: dict[str, Sum] = defaultdict(Sum)
    answered = Sum()
    for row in connection.execute(_PAID, asked):
        paid[row.namespace] += Sum(row[2], int(row.micros or 0))
        answered += Sum(row[2], int(row.micros or 0)) if row.by_word != "callback" else Sum()
    credited = {row.namespace: Sum(row[1], int(row.micros or 0)) for row in connection.execute(_CREDITED, asked)}
    rows = connection.execute(_LINES, asked).all()
    # Money that neither of the two speaks of lies on no bridge between them.
    spoken = [row for row in rows if row.reason not in ("chain_alone", "chain_only")]
    lines = _lines(spoken)
    names = sorted(paid.keys() | credited.keys() | lines.keys())
    return Bridged(
        bridges={name: Bridge(paid[name], credited.get(name, Sum()), tuple(lines.get(name, ()))) for name in names},
        accounts=_accounts(spoken),
        answered=answered,
        alone=_total(Sum(row.orders, int(row.chain)) for row in rows if row.reason == "chain_alone"),
        whole=_total(Sum(row.orders, int(row.money)) for row in spoken),
        agreeing=_total(Sum(row.orders, int(row.money)) for row in spoken if row.reason == "agrees"),
    )


def _lines(rows: Sequence[Row[Any]]) -> dict[str, list[Line]]:
    """Return the lines of each namespace's bridge: why orders differ, over all accounts."""
    met: dict[tuple[str, str], tuple[Sum, int]] = defaultdict(lambda: (Sum(), 0))
    for row in rows:
        if row.reason != "agrees":
            so_far, gross = met[row.namespace, row.reason]
            met[row.namespace, row.reason] = (so_far + Sum(row.orders, int(row.micros)), gross + int(row.gross))
    lines: dict[str, list[Line]] = defaultdict(list)
    for (namespace, reason), (differing, gross) in sorted(met.items()):
        lines[namespace].append(Line(namespace, reason, differing, gross))
    return lines


def _accounts(rows: Sequence[Row[Any]]) -> dict[str, tuple[Sum, Sum]]:
    """Return what was paid and what was credited for each account."""
    found: dict[str, tuple[Sum, Sum]] = defaultdict(lambda: (Sum(), Sum()))
    for row in sorted(rows, key=lambda one: one.account):
        paid, credited = found[row.account]
        paid += Sum(row.paid_count, int(row.paid or 0))
        found[row.account] = (paid, credited + Sum(row.credited_count, int(row.credited or 0)))
    return dict(found)


def _total(parts: Iterable[Sum]) -> Sum:
    return sum(parts, Sum())


def sums(connection: Connection, day: Day) -> tuple[Sum, Sum]:
    """Return what was paid and what was credited on a day, over all namespaces."""
    asked = _bounds(connection, day)
    paid = [Sum(row[2], int(row.micros or 0)) for row in connection.execute(_PAID, asked)]
    credited = [Sum(row[1], int(row.micros or 0)) for row in connection.execute(_CREDITED, asked)]
    return sum(paid, Sum()), sum(credited, Sum())


def late(connection: Connection, day: Day) -> Sum:
    """Return what came on a day about days that were sealed already."""
    row = connection.execute(_LATE, _bounds(connection, day)).one()
    return Sum(row[0], int(row[1] or 0))


def late_items(connection: Connection, day: Day, *, limit: int) -> list[RowMapping]:
    """Return those orders, the largest first: `occurred_at` is when the provider says it was, `provider_at` when it was told."""
    return list(connection.execute(_LATE_ITEMS, _bounds(connection, day) | {"limit": limit}).mappings())


def straddlers(connection: Connection, day: Day, *, limit: int) -> list[RowMapping]:
    """Return the orders that provider and relay see on different days, with `paid_at` and `credited_at`; the largest first."""
    return list(connection.execute(_STRADDLERS, _bounds(connection, day) | {"limit": limit}).mappings())


def first_moment(connection: Connection) -> datetime | None:
    """Return when the first event was announced: before that there is no day to close."""
    query = select(events.c.created_at).order_by(events.c.sequence).limit(1)
    return connection.execute(query).scalar()


def callback_bounds(connection: Connection, day: Day) -> tuple[int, int]:
    """Return the numbers between which the callbacks of a day lie, the last excluded; a few others may lie there too."""
    number, time = callbacks.c.id, callbacks.c.received_at
    # The door pays for no index of times.
    first, last = (first_since(connection, number, time, at) for at in (day.start - _SKEW, day.end + _SKEW))
    return first, last


def _bounds(connection: Connection, day: Day) -> dict[str, Any]:
    first_id, last_id = callback_bounds(connection, day)
    return {
        "start": day.start,
        "end": day.end,
        "near": day.start + _APART,
        # An id that is a time alone sorts before all ids of that time.
        "first_event": time_ordered_id("evt", day.start, b""),
        "last_event": time_ordered_id("evt", day.end, b""),
        "known": _known_until(connection, day),
        "first_id": first_id,
        "last_id": last_id,
    }


def _known_until(connection: Connection, day: Day) -> datetime:
    """Return when a sealed day was prepared: what came later is not its any more. Of any other day there is no such end."""
    query = select(day_closes.c.prepared_at).where(day_closes.c.day == day.name, day_closes.c.state == "sealed")
    return connection.execute(query).scalar() or _NEVER


def _bound(spelled: str) -> Any:
    times = [
        bindparam(name, type_=_TIME)
        for name in ("start", "end", "known", "near")
        if any(f":{name}{after}" in spelled for after in (" ", "\n", ")"))
    ]
    return text(spelled).bindparams(*times)


_PAID = _bound(
    f"WITH {_FACTS} SELECT namespace, by_word, count(*), sum(micros) AS micros FROM paid GROUP BY namespace, by_word"
)
_CREDITED = text(
    """
    SELECT namespace, count(DISTINCT orderid), sum(delta_micros) AS micros FROM events
    WHERE id >= :first_event AND id < :last_event AND delta_micros IS NOT NULL GROUP BY namespace
    """
)
_LINES = _bound(
    f"""{_ITEMS} SELECT namespace, reason, coalesce(appid, '') AS account, count(*) AS orders,
        sum(difference_micros) AS micros, sum(abs(difference_micros)) AS gross, sum(coalesce(chain_micros, 0)) AS chain,
        sum(CASE WHEN coalesce(provider_micros, 0) > coalesce(relay_micros, 0) THEN coalesce(provider_micros, 0)
            ELSE coalesce(relay_micros, 0) END) AS money,
        count(provider_micros) AS paid_count, sum(provider_micros) AS paid,
        count(relay_micros) AS credited_count, sum(relay_micros) AS credited
    FROM items GROUP BY namespace, reason, coalesce(appid, '')"""
)
_STRADDLERS = _bound(
    f"""{_ITEMS} SELECT i.namespace, i.orderid, i.reason, abs(i.difference_micros) AS micros,
        coalesce(
            (SELECT min(coalesce(f.occurred_at, f.changed_at)) FROM provider_facts f
            WHERE f.namespace = i.namespace AND f.orderid = i.orderid AND f.status = 'succeeded'),
            (SELECT min(b.received_at) FROM callbacks b WHERE b.namespace = i.namespace AND b.orderid = i.orderid
            AND b.verdict = 'accepted' AND b.status = 'succeeded' AND b.origin = 'callback')) AS paid_at,
        (SELECT min(e.created_at) FROM events e WHERE e.namespace = i.namespace AND e.orderid = i.orderid
            AND e.delta_micros IS NOT NULL) AS credited_at
    FROM items i WHERE i.reason IN ('credited_other_day', 'paid_other_day') ORDER BY 4 DESC, i.orderid LIMIT :limit"""
).columns(paid_at=_TIME, credited_at=_TIME)
_LATE = _bound(f"WITH {_FACTS} SELECT count(*), sum(micros) FROM paid WHERE by_word = 'late'")
_LATE_ITEMS = _bound(
    f"""WITH {_FACTS} SELECT p.namespace, p.orderid, p.micros, p.at AS provider_at,
        (SELECT min(f.source) FROM provider_facts f WHERE f.namespace = p.namespace AND f.orderid = p.orderid
            AND f.status = 'succeeded' AND f.changed_at = p.at) AS source,
        (SELECT min(f.occurred_at) FROM provider_facts f WHERE f.namespace = p.namespace AND f.orderid = p.orderid
            AND f.status = 'succeeded') AS occurred_at
    FROM paid p WHERE p.by_word = 'late' ORDER BY abs(p.micros) DESC, p.orderid LIMIT :limit"""
).columns(provider_at=_TIME, occurred_at=_TIME)
