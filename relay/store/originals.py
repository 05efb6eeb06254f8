"""Own what is read for endpoints of format provider: the callback that a credit came with, as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from relay.core.callbacks import Callback
from relay.store.bulk import given, with_ids
from relay.store.engine import together
from relay.store.rows import callback_columns, callback_from, callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The callback behind a credit; `body` is None where it did not come by HTTP.

    `amount_micros` is what the event says, `address` the order's, in machine spelling, on `chain`.
    """

    callback: Callback
    amount_micros: int
    body: bytes | None = None
    content_type: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    chain: str | None = None
    address: str | None = None


def of_credits(connection: Connection, sequences: Sequence[int]) -> dict[int, Original]:
    """Return the callback of each credit, by the sequence of its event: of several, the last before it was announced."""
    if not sequences:
        return {}
    (rows,) = together(connection, (_ORIGINALS.on(connection), given(sorted(set(sequences)))))
    return {
        row["sequence"]: Original(
            callback=callback_from(row),
            amount_micros=row["credited"],
            body=None if row["body"] is None else bytes(row["body"]),
            content_type=row["content_type"] or "",
            query=row["query"] or "",
            headers=json.loads(row["headers"]),
            chain=row["chain"],
            address=row["paid_to"],
        )
        for row in rows
    }


# A later row of the same event replaces an earlier one; the source that won, where it called back at all, comes last.
_ORIGINALS = with_ids(
    f"""
    SELECT e.sequence, e.amount_micros AS credited, o.chain, o.address AS paid_to,
        {", ".join(f"c.{column.name}" for column in callback_columns)}, c.body, c.content_type, c.query, c.headers
    FROM {{rows}} AS g JOIN events e ON e.sequence = g.id AND e.type = 'recharge.succeeded'
    JOIN orders o ON o.namespace = e.namespace AND o.orderid = e.orderid
    JOIN callbacks c ON c.namespace = e.namespace AND c.orderid = e.orderid
        AND c.verdict = 'accepted' AND c.status = 'succeeded' AND c.received_at <= e.created_at
    ORDER BY e.sequence, CASE WHEN c.source = e.source THEN 1 ELSE 0 END, c.id
    """,
    occurred_at=callbacks.c.occurred_at.type,
)
