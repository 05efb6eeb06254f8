"""Own how events are sent again."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field

from relay.bootstrap import now
from relay.errors import NotFound
from relay.flows import replays as flow
from relay.store import replays as store
from relay.store.engine import reading
from relay.web.api.common import (
    ById,
    GivenMoment,
    ListByIdQuery,
    Listed,
    Moment,
    OptionalBody,
    Shape,
    Words,
    listed,
    part,
    shown,
)
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("replays", "Events that are sent again: the same ids, the same bytes.")


class Wishes(OptionalBody):
    """What is sent again. `failed` are dead deliveries, `missing` what an endpoint wants and was never sent.

    `dry_run` only counts. At most `rate` events a second are gone through.
    """

    only: Literal["failed", "missing", "all"] = "failed"
    rate: int = Field(100, ge=1, le=1_000)
    dry_run: bool = False


class FilteredWishes(Wishes):
    """What narrows a replay further; `endpoint` is an id, `since` and `until` are compared with an event's time."""

    type: Words | None = None
    source: Words | None = None
    orderid: Words | None = None
    since: GivenMoment | None = None
    until: GivenMoment | None = None


class AnyWishes(FilteredWishes):
    """What narrows a replay to one endpoint as well."""

    endpoint: Words | None = None


class ReplayShape(Shape):
    """A replay. `sent` counts the deliveries that were made due, `cursor` and `last` are sequences of the feed.

    `state` counted is the answer to a `dry_run`: `sent` is how many there would be.
    """

    id: str
    state: Literal["running", "done", "cancelled", "counted"]
    which: str
    endpoint_id: str | None
    type: str | None
    source: str | None
    orderid: str | None
    since: Moment
    until: Moment
    rate: int
    cursor: int
    last: int
    sent: int
    created_by: str
    created_at: Moment
    finished_at: Moment | None


Answer = tuple[dict[str, Any], int]


@routes.post("/replays", responses={200: ReplayShape, 201: ReplayShape})
@role("service")
def create_replay(body: AnyWishes) -> Answer:
    """Send events again by filter and time: 201, or 200 with the count of a `dry_run`."""
    return _replayed(body, endpoint_id=body.endpoint)


@routes.post("/endpoints/<id>/replay", responses={200: ReplayShape, 201: ReplayShape})
@role("service")
def replay_endpoint(path: ById, body: FilteredWishes) -> Answer:
    """Send events to one endpoint again; `missing` with `since` fills a new one."""
    return _replayed(body, endpoint_id=path.id)


@routes.post("/events/<id>/replay", responses={200: ReplayShape, 201: ReplayShape})
@role("service")
def replay_event(path: ById, body: Wishes) -> Answer:
    """Send one event again."""
    return _replayed(body, event=path.id)


@routes.get("/replays", responses={200: Listed[ReplayShape]})
@role("service")
def list_replays(query: ListByIdQuery) -> dict[str, Any]:
    """List your replays, newest first."""
    with reading(runtime().engine) as connection:
        page = store.page(connection, creator=_creator(), after=query.after, limit=query.limit)
    return listed(ReplayShape, page.rows, page.next)


@routes.get("/replays/<id>", responses={200: ReplayShape})
@role("service")
def show_replay(path: ById) -> dict[str, Any]:
    """Show how far a replay has come."""
    with reading(runtime().engine) as connection:
        row = store.find(connection, path.id, creator=_creator())
    if row is None:
        raise NotFound("no such replay")
    return shown(ReplayShape, row)


@routes.post("/replays/<id>/cancel", responses={200: ReplayShape})
@role("service")
def cancel_replay(path: ById) -> dict[str, Any]:
    """End a replay; what was made due already is sent all the same."""
    return shown(ReplayShape, flow.cancel(runtime().engine, path.id, actor=actor(), now=now()))


def _replayed(body: Wishes, **which: str | None) -> Answer:
    engine, moment = runtime().engine, now()
    wishes = body.model_dump(exclude={"only", "dry_run", "endpoint"}) | {"which": body.only} | which
    replay = flow.plan(engine, wishes, actor=actor(), random=os.urandom(8), now=moment)
    if body.dry_run:
        return shown(ReplayShape, replay, state="counted", sent=flow.count(engine, replay)), 200
    row = flow.start(engine, replay, actor=actor(), now=moment)
    runtime().memory.ring()
    return shown(ReplayShape, row), 201


def _creator() -> str | None:
    return None if actor().sees_all else actor().id
