"""Own what ended attempts mean for their endpoints: rest, probes, and the events about those that fail or are back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.events import rfc3339
from relay.core.health import GIVEN_UP_AFTER, Turn, probe_at, turn_of
from relay.core.retries import GONE_PAUSE
from relay.store import health as store
from relay.store.engine import writing
from relay.store.health import Report
from relay.store.outbox import Settlement

# What kept a delivery from being sent lies with us: it says nothing about the endpoint.
NOT_RENDERABLE, UNREADABLE_SECRET = "not_renderable", "unreadable_secret"
_OURS = frozenset({NOT_RENDERABLE, UNREADABLE_SECRET})
# Whoever waits for these rows waits no longer than for so many.
_PAGE = 1_000

Told = tuple[str, dict[str, Any]]


def reports_of(settlements: Sequence[Settlement]) -> list[Report]:
    """Return what is to be noted of endpoints; of those that are well, and have answered well, nothing."""
    told = {one.claim.endpoint_id for one in settlements if _has_failed(one) or _was_ill(one)}
    ended = {id_: [one for one in settlements if one.claim.endpoint_id == id_] for id_ in told}
    reports = [(_report(id_, ones), any(map(_was_ill, ones))) for id_, ones in ended.items()]
    return [one for one, was_ill in reports if was_ill or one.rest_until is not None or not one.delivered]


def turn_at(one: Settlement) -> Turn | None:
    """Say what an outcome turns at its endpoint that somebody has to hear of; whether it is so, the database decides."""
    if not _was_ill(one) or (one.step.outcome != "delivered" and not _has_failed(one)):
        return None
    if _is_gone_for_good(one):
        return Turn.GIVEN_UP
    return turn_of(
        delivered=one.step.outcome == "delivered",
        failures_in_row=one.claim.failures_in_row,
        failing_since=one.claim.failing_since,
        is_told=one.claim.failing_told_at is not None,
        now=one.finished_at,
    )


def announcements(connection: Connection, settlements: Sequence[Settlement], *, now: datetime) -> Iterator[Told]:
    """Note the turns of endpoints and yield their events; the outcomes are written already, the caller holds the feed lock."""
    turned = {(one.claim.endpoint_id, turn): one for one in settlements if (turn := turn_at(one)) is not None}
    for (endpoint_id, turn), one in sorted(turned.items(), key=lambda item: item[0][0]):
        if turn is Turn.GIVEN_UP and _disabled(connection, one, now=now):
            yield turn.value, {"endpoint_id": endpoint_id, "reason": _why_disabled(one)}
        elif turn is Turn.FAILING and store.tell_failing(connection, endpoint_id, now=now):
            yield turn.value, _failing(one)
        elif turn is Turn.RECOVERED and store.tell_recovered(connection, endpoint_id):
            yield turn.value, {"endpoint_id": endpoint_id, "failing_since": _since(one)}


def send_what_waited(engine: Engine, endpoint_id: str, *, now: datetime) -> int:
    """Let what waits for its next attempt at an endpoint that is back, and not told so yet, be due, the oldest first; return how many."""
    moved, last = 0, _PAGE
    while last == _PAGE:
        with writing(engine) as connection:
            last = store.bring_forward(connection, endpoint_id, most=_PAGE, now=now)
        moved += last
    return moved


def _report(endpoint_id: str, ended: Sequence[Settlement]) -> Report:
    at = max(one.finished_at for one in ended)
    since = min((one.claim.failing_since for one in ended if one.claim.failing_since is not None), default=None)
    return Report(
        endpoint_id=endpoint_id,
        delivered=any(one.step.outcome == "delivered" for one in ended),
        failed=sum(map(_has_failed, ended)),
        gone=any(one.step.is_gone for one in ended),
        at=at,
        rest_until=max((one.step.rest_until for one in ended if one.step.rest_until is not None), default=None),
        probe_at=probe_at(failing_since=since, now=at),
    )


def _has_failed(one: Settlement) -> bool:
    return one.step.outcome == "failed" and one.error not in _OURS


def _was_ill(one: Settlement) -> bool:
    claim = one.claim
    return claim.failing_since is not None or claim.failing_told_at is not None or claim.gone_at is not None


def _is_gone_for_good(one: Settlement) -> bool:
    """A second 410, at least the length of the pause after the first."""
    first = one.claim.gone_at
    return one.step.is_gone and first is not None and one.finished_at - first >= GONE_PAUSE


def _disabled(connection: Connection, one: Settlement, *, now: datetime) -> bool:
    if _is_gone_for_good(one):
        return store.disable(connection, one.claim.endpoint_id, reason="gone")
    return store.give_up(connection, one.claim.endpoint_id, now=now)


def _why_disabled(one: Settlement) -> str:
    return (
        "it answered 410 Gone twice" if _is_gone_for_good(one) else f"it failed for {GIVEN_UP_AFTER.days} days on end"
    )


def _failing(one: Settlement) -> dict[str, Any]:
    return {
        "endpoint_id": one.claim.endpoint_id,
        "failing_since": _since(one),
        "failures_in_row": one.claim.failures_in_row + 1,
        "last_status": one.status,
        "last_error": one.error,
    }


def _since(one: Settlement) -> str | None:
    since = one.claim.failing_since
    return None if since is None else rfc3339(since)
