"""Own the one look at a page of a run's orders that finds those about which all witnesses agree.

They are most of what changes, and nothing follows for them: they are matched.
What this statement does not find is laid side by side by `relay.store.reconciling`
and judged by `relay.core.triage`, whose words `matched` without a break, a
flag or a drift are what it stands for; it is only ever the narrower of the two.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from relay.store.bulk import given, types_of, with_rows
from relay.store.rows import orders

Key = tuple[str, str]


class Agreed(NamedTuple):
    """An order of which every witness that speaks says what was credited.

    `has_address` without `has_moved`: whether that is right depends on
    whether somebody reads its chain. `stood`: it is kept so already.
    """

    namespace: str
    orderid: str
    source: str
    chain: str | None
    credited_micros: int
    has_address: bool
    has_provider: bool
    has_moved: bool
    stood: bool


def agreed(connection: Connection, keys: Collection[Key]) -> list[Agreed]:
    """Return the orders among these that are settled, in their order."""
    asked = given([{"namespace": namespace, "orderid": orderid} for namespace, orderid in keys])
    return [Agreed(*row) for row in connection.execute(_AGREED.on(connection), asked)]


# What a service was to be told and has not acknowledged; what is held is not to be told. The coalesce is told of below.
UNTOLD = "coalesce(d.state, '') NOT IN ('delivered', 'held')"
# What each witness says, as one value: NULL where it contradicts, '-' where it is silent, else the transaction that it names.
_PLAIN = "coalesce(replace(lower({0}), '0x', ''), '')"
_SAYS = "CASE WHEN count(*) = 0 THEN '-' WHEN sum(CASE WHEN {0} THEN 1 ELSE 0 END) = count(*) THEN {1} END"
_ONE_SAYS = _SAYS.replace("= count(*) THEN {1}", "= 1 AND count(*) = 1 THEN {1}")
# A clock that is ahead, however little, is looked at by the rules.
_TOLD = _ONE_SAYS.format(
    "c.amount_micros = o.credited_micros AND (c.occurred_at IS NULL OR c.occurred_at <= c.received_at)",
    f"max({_PLAIN.format('c.tx_hash')})",
)
_HEARD = _SAYS.format(
    "f.status = 'succeeded' AND f.amount_micros = o.credited_micros",
    f"CASE WHEN min({_PLAIN.format('f.tx_hash')}) = max({_PLAIN.format('f.tx_hash')}) THEN max({_PLAIN.format('f.tx_hash')}) END",
)
_MOVED = _ONE_SAYS.format(
    """t.is_final AND t.amount_micros = o.credited_micros
        AND (o.expires_at IS NULL OR t.block_time <= o.expires_at)""",
    f"max({_PLAIN.format('t.tx_hash')})",
)
# CROSS JOIN holds SQLite to the order of the joins, and a coalesce keeps it from going through all that is dead for each
# order; MATERIALIZED keeps each witness from being asked once for each mention.
_AGREED = with_rows(
    f"""
    WITH said AS MATERIALIZED (
        SELECT o.namespace, o.orderid, o.source, o.chain, o.credited_micros, o.address IS NOT NULL AS has_address,
            (SELECT {_TOLD} FROM callbacks c WHERE c.namespace = o.namespace AND c.orderid = o.orderid
                AND c.status = 'succeeded' AND c.verdict = 'accepted') AS told,
            (SELECT {_HEARD} FROM provider_facts f WHERE f.namespace = o.namespace AND f.orderid = o.orderid) AS heard,
            (SELECT {_MOVED} FROM matches m
                CROSS JOIN transfers t WHERE m.namespace = o.namespace AND m.orderid = o.orderid
                AND m.reversed_at IS NULL AND t.chain = m.chain AND t.tx_hash = m.tx_hash AND t.log_index = m.log_index
                AND t.orphaned_at IS NULL) AS moved
        FROM {{rows}} AS g CROSS JOIN orders o
        WHERE o.namespace = g.namespace AND o.orderid = g.orderid
            AND o.state = 'succeeded' AND o.flags = '' AND o.credited_micros > 0
            AND NOT EXISTS (SELECT 1 FROM breaks b
                WHERE b.namespace = o.namespace AND b.orderid = o.orderid AND b.state = 'open')
            AND NOT EXISTS (SELECT 1 FROM recoveries r
                WHERE r.namespace = o.namespace AND r.orderid = o.orderid AND r.state IN ('due', 'stopped'))
            AND NOT EXISTS (SELECT 1 FROM testimonies y
                WHERE y.kind = 'phantom_credit' AND y.namespace = o.namespace AND y.orderid = o.orderid)
            AND NOT EXISTS (SELECT 1 FROM events e CROSS JOIN deliveries d
                WHERE e.namespace = o.namespace AND e.orderid = o.orderid
                AND e.type LIKE 'recharge.%' AND d.event_sequence = e.sequence AND {UNTOLD})
    )
    SELECT a.namespace, a.orderid, a.source, a.chain, a.credited_micros, a.has_address, a.heard <> '-', a.moved <> '-',
        coalesce(s.verdict = 'matched' AND s.kinds = '' AND s.flags = '' AND s.due_at IS NULL
            AND CASE WHEN a.heard = '-' AND a.moved = '-' THEN s.drift_micros IS NULL ELSE s.drift_micros = 0 END, (1 = 0))
    FROM said a LEFT JOIN match_states s ON s.namespace = a.namespace AND s.orderid = a.orderid
    WHERE a.told <> '-' AND a.heard IS NOT NULL AND a.moved IS NOT NULL
        AND (CASE WHEN a.moved = '-' THEN a.told = '' AND a.heard IN ('-', '') ELSE a.heard IN ('-', '', a.moved) END)
    ORDER BY a.namespace, a.orderid
    """,
    types_of(orders, ("namespace", "orderid")),
)
