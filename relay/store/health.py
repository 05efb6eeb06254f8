"""Own what is stored of an endpoint's health, from its answers alone; a person's word is its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, bindparam, text

from relay.core.health import APART, GIVEN_UP_AFTER, PROBED_AT, TOLD_AFTER
from relay.store.bulk import given, with_rows
from relay.store.engine import Asked
from relay.store.rows import deliveries

_TIME = deliveries.c.due_at.type
# What forgets how an endpoint stood, so that it is tried at once and as if it had never failed. That its failing was announced is
# not forgotten: who was told of it is still to be told that it is over.
HEALTHY = {"not_before": None, "gone_at": None, "failing_since": None, "failed_at": None, "failures_in_row": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the answers of one tick say of an endpoint.

    `failed` counts them; `rest_until` is the rest that it asked for, and
    `probe_at` when it is tried again if it counts as failing by now.
    """

    endpoint_id: str
    delivered: bool
    failed: int
    gone: bool
    at: datetime
    rest_until: datetime | None
    probe_at: datetime


def noted(connection: Connection, reports: Sequence[Report]) -> list[Asked]:
    """Return what `together` has to send so that endpoints are rested, probed, forgiven; nothing where there is no report."""
    if not reports:
        return []
    # In one order, so that two processes never wait for each other.
    rows = [_row(one) for one in sorted(reports, key=lambda report: report.endpoint_id)]
    return [(_NOTE.on(connection), given(rows))]


def tell_failing(connection: Connection, endpoint_id: str, *, now: datetime) -> bool:
    """Note that it is announced as failing; False when it was already, or does not fail any more."""
    return _changed(connection.execute(_TELL, {"id": endpoint_id, "now": now, "latest": now - TOLD_AFTER}))


def tell_recovered(connection: Connection, endpoint_id: str) -> bool:
    """Note that its recovery is announced; False when that was done already."""
    return _changed(connection.execute(_FORGET, {"id": endpoint_id}))


def give_up(connection: Connection, endpoint_id: str, *, now: datetime) -> bool:
    """Disable an endpoint that did nothing but fail for days, and let its deliveries wait; False where that is not so."""
    asked = {"id": endpoint_id, "reason": "failing", "latest": now - GIVEN_UP_AFTER}
    return _set_aside(connection, endpoint_id, connection.execute(_GIVE_UP, asked))


def disable(connection: Connection, endpoint_id: str, *, reason: str) -> bool:
    """Disable an endpoint and let its deliveries wait; False when it was not enabled."""
    asked = {"id": endpoint_id, "reason": reason}
    return _set_aside(connection, endpoint_id, connection.execute(_DISABLE, asked))


def bring_forward(connection: Connection, endpoint_id: str, *, most: int, now: datetime) -> int:
    """Let up to `most` deliveries that wait for a later attempt be due at once; return how many there were.

    None where the recovery is announced already: what fails since then keeps its own schedule.
    """
    return connection.execute(_FORWARD, {"id": endpoint_id, "most": most, "now": now}).rowcount


def _set_aside(connection: Connection, endpoint_id: str, disabled: CursorResult[Any]) -> bool:
    if _changed(disabled):
        connection.execute(_PAUSE, {"id": endpoint_id})
    return _changed(disabled)


def _changed(result: CursorResult[Any]) -> bool:
    return bool(result.rowcount)


def _row(one: Report) -> dict[str, Any]:
    return {
        "id": one.endpoint_id,
        "delivered": one.delivered,
        "failed": one.failed,
        "gone": one.gone,
        "at": one.at,
        "forgotten": one.at - APART,
        "rest_until": one.rest_until,
        "probe_at": max(one.probe_at, one.rest_until or one.probe_at),
    }


_IN_ROW = "CASE WHEN failed_at < g.forgotten THEN g.failed ELSE failures_in_row + g.failed END"
_NOTE = with_rows(
    f"""
    UPDATE endpoints SET
        failures_in_row = CASE WHEN g.delivered THEN 0 ELSE {_IN_ROW} END,
        failing_since = CASE WHEN g.delivered THEN NULL
            WHEN failing_since IS NULL OR failed_at < g.forgotten THEN CASE WHEN g.failed > 0 THEN g.at END
            ELSE failing_since END,
        failed_at = CASE WHEN g.failed > 0 THEN g.at ELSE failed_at END,
        gone_at = CASE WHEN g.delivered THEN NULL WHEN g.gone THEN coalesce(gone_at, g.at) ELSE gone_at END,
        not_before = CASE
            WHEN g.delivered AND (gone_at IS NOT NULL OR failures_in_row >= {PROBED_AT}) THEN g.rest_until
            WHEN NOT g.delivered AND {_IN_ROW} >= {PROBED_AT} AND (not_before IS NULL OR not_before < g.probe_at) THEN g.probe_at
            WHEN not_before IS NULL OR not_before < g.rest_until THEN g.rest_until
            ELSE not_before END
    FROM {{rows}} AS g WHERE endpoints.id = g.id
    """,
    {
        "id": "text",
        "delivered": "boolean",
        "failed": "integer",
        "gone": "boolean",
        **dict.fromkeys(("at", "forgotten", "rest_until", "probe_at"), "timestamptz"),
    },
)
_TELL = text(
    f"""
    UPDATE endpoints SET failing_told_at = :now WHERE id = :id AND state = 'enabled' AND failing_told_at IS NULL
        AND failing_since <= :latest AND failures_in_row >= {PROBED_AT}
    """
).bindparams(bindparam("now", type_=_TIME), bindparam("latest", type_=_TIME))
_FORGET = text("UPDATE endpoints SET failing_told_at = NULL WHERE id = :id AND failing_told_at IS NOT NULL")
_DISABLE = text("UPDATE endpoints SET state = 'disabled', state_reason = :reason WHERE id = :id AND state = 'enabled'")
_GIVE_UP = text(f"{_DISABLE.text} AND failing_since <= :latest AND failures_in_row >= {PROBED_AT}").bindparams(
    bindparam("latest", type_=_TIME)
)
_PAUSE = text("UPDATE deliveries SET state = 'paused' WHERE endpoint_id = :id AND state = 'pending'")
_FORWARD = text(
    """
    UPDATE deliveries SET due_at = :now WHERE state = 'pending' AND id IN (
        SELECT id FROM deliveries WHERE endpoint_id = :id AND state = 'pending' AND due_at > :now
            AND EXISTS (SELECT 1 FROM endpoints WHERE id = :id AND failing_told_at IS NOT NULL)
        ORDER BY due_at, id LIMIT :most)
    """
).bindparams(bindparam("now", type_=_TIME))
