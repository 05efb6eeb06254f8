"""Own the second look at a stored request: through the same door again, with today's configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.core.parsing import RawRequest
from relay.errors import CallbackRejected, Conflict, NotFound
from relay.flows.forwarding import Forwarder
from relay.flows.intake import Request
from relay.store import audit, callbacks
from relay.store.engine import reading, writing
from relay.store.paging import Cursor

# Bodies are up to 64 KiB each, so only so many are held at once.
PAGE = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: accepted, duplicate, conflict; `passes` in a dry run; or refused again, and why."""

    id: int
    result: str
    reason: str | None = None


def one(engine: Engine, door: Forwarder, callback_id: int, *, dry_run: bool, actor: Actor, now: datetime) -> Outcome:
    """Reprocess one stored request."""
    with reading(engine) as connection:
        row = callbacks.find(connection, callback_id)
    if row is None:
        raise NotFound("no such callback")
    if row["body"] is None:
        raise Conflict("its bytes were not kept")
    return _all(engine, door, [row], dry_run=dry_run, actor=actor, now=now)[0]


def rejected(
    engine: Engine,
    door: Forwarder,
    *,
    source: str | None,
    reason: str | None,
    after: Cursor | None,
    limit: int,
    dry_run: bool,
    actor: Actor,
    now: datetime,
) -> tuple[list[Outcome], Cursor | None]:
    """Reprocess a page of rejected requests, oldest first; return what became of them and where the next page begins."""
    with reading(engine) as connection:
        page = callbacks.rejected(connection, after=after, limit=limit, source=source, reason=reason)
    rows = [row for row in page.rows if row["body"] is not None]
    return _all(engine, door, rows, dry_run=dry_run, actor=actor, now=now), page.next


def all_rejected(
    engine: Engine,
    door: Forwarder,
    *,
    source: str | None,
    reason: str | None,
    limit: int | None,
    dry_run: bool,
    actor: Actor,
    clock: Callable[[], datetime],
) -> Iterator[Outcome]:
    """Reprocess rejected requests page by page, all or `limit`; each outcome is yielded when its page is done."""
    after: Cursor | None = None
    left = float("inf") if limit is None else limit
    while left > 0:
        found, after = rejected(
            engine,
            door,
            source=source,
            reason=reason,
            after=after,
            limit=int(min(left, PAGE)),
            dry_run=dry_run,
            actor=actor,
            now=clock(),
        )
        yield from found
        left -= PAGE
        if after is None:
            return


def _all(
    engine: Engine, door: Forwarder, rows: Iterable[RowMapping], *, dry_run: bool, actor: Actor, now: datetime
) -> list[Outcome]:
    """The door commits each request by itself, so the audit is written first: no request passes without it."""
    rows = list(rows)
    if rows:
        detail = {"ids": [row["id"] for row in rows], "dry_run": dry_run}
        with writing(engine) as connection:
            audit.append(
                connection, actor=actor.id, act="callback.reprocess", subject="callbacks", now=now, detail=detail
            )
    return [_again(door, row, dry_run=dry_run) for row in rows]


def _again(door: Forwarder, row: RowMapping, *, dry_run: bool) -> Outcome:
    try:
        verdict = door.reprocess(_request(row), dry_run=dry_run)
    except CallbackRejected as refused:
        return Outcome(row["id"], "rejected", refused.code)
    return Outcome(row["id"], "passes" if verdict is None else verdict.value)


def raw_request_of(row: Mapping[Any, Any]) -> RawRequest:
    """Return a stored request as it came; its bytes were kept."""
    return RawRequest(
        body=row["body"],
        content_type=row["content_type"] or "",
        query=row["query"] or "",
        headers=json.loads(row["headers"]),
    )


def _request(row: RowMapping) -> Request:
    raw = raw_request_of(row)
    return Request(
        source=row["source"],
        raw=raw,
        address=row["address"] or "",
        request_id=row["request_id"],
        # The method is not stored: a provider that calls with all in the query has no body to post.
        method="GET" if raw.query and not raw.body else "POST",
    )
