"""Own the pull feed: what every subscriber is told, in the order of commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from flask import Response
from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy import RowMapping

from relay.errors import NotFound
from relay.store import events
from relay.store.engine import reading
from relay.store.paging import Page
from relay.web.api.common import ById, GivenMoment, Listed, ListQuery, Shape, Switch, Whole, Words, part, tagged
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("events", "What happened, in the order of commit.")


class EventQuery(ListQuery):
    """Which events. `after` is the `sequence` of the last one that was read; keep it, and nothing is missed or repeated.

    `unsent` keeps only what no endpoint was to be told; a page of it looks through 50,000 events, so it may be short, or empty,
    while `next` goes on. `last` begins with the newest so many, for who follows from now on; it comes without `after`.
    """

    type: Words | None = None
    source: Words | None = None
    orderid: Words | None = None
    since: GivenMoment | None = None
    unsent: Switch = False
    last: Annotated[Whole, Field(ge=1, le=250)] | None = None

    @field_validator("last")
    @classmethod
    def _begins(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("after") is not None:
            raise ValueError("comes without after")
        return value


class EventShape(Shape):
    """An event; `type`, `timestamp` and `data` are the body that every delivery sends."""

    id: str
    sequence: int
    type: str
    timestamp: str
    data: dict[str, Any]


@routes.get("/events", responses={200: Listed[EventShape]})
@role("service")
def list_events(query: EventQuery) -> Response:
    """Read the feed, oldest first."""
    wanted = query.model_dump(exclude={"after", "limit", "last"})
    scope = actor().sources
    with reading(runtime().engine) as connection:
        if query.last is not None:
            page = Page(events.last(connection, scope=scope, most=query.last, **wanted), None)
        else:
            page = events.page(connection, scope=scope, after=query.after, limit=query.limit, **wanted)
    told = ",".join(map(_spelled, page.rows))
    return Response(f'{{"data":[{told}],"next":{json.dumps(page.next)}}}\n', mimetype="application/json")


@routes.get("/events/<id>", responses={200: EventShape})
@role("service")
def show_event(path: ById) -> Response:
    """Show one event, with an ETag."""
    with reading(runtime().engine) as connection:
        row = events.find(connection, path.id)
    if row is None or not actor().reaches(row["source"]):
        raise NotFound("no such event")
    return tagged(_shown(row))


def _spelled(row: RowMapping) -> str:
    """The body as it was written, with the event's id and place before it: reading it to write it again would cost most of a page."""
    return f'{{"id":{json.dumps(row["id"])},"sequence":{row["sequence"]},{row["body"][1:]}'


def _shown(row: RowMapping) -> dict[str, Any]:
    body: Mapping[str, Any] = json.loads(row["body"])
    return {"id": row["id"], "sequence": row["sequence"], **body}
