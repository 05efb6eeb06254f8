"""Own the pull feed: what every subscriber is told, in the order of commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response
from sqlalchemy import RowMapping

from relay.errors import NotFound
from relay.store import events
from relay.store.engine import reading
from relay.web.api.common import ById, GivenMoment, Listed, ListQuery, Shape, Words, part, tagged
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("events", "What happened, in the order of commit.")


class EventQuery(ListQuery):
    """Which events. `after` is the `sequence` of the last one that was read; keep it, and nothing is missed or repeated.

    `unsent` keeps only what no endpoint was to be told.
    """

    type: Words | None = None
    source: Words | None = None
    orderid: Words | None = None
    since: GivenMoment | None = None
    unsent: bool = False


class EventShape(Shape):
    """An event; `type`, `timestamp` and `data` are the body that every delivery sends."""

    id: str
    sequence: int
    type: str
    timestamp: str
    data: dict[str, Any]


@routes.get("/events", responses={200: Listed[EventShape]})
@role("service")
def list_events(query: EventQuery) -> dict[str, Any]:
    """Read the feed, oldest first."""
    wanted = query.model_dump(exclude_unset=True) | {"after": query.after, "limit": query.limit}
    with reading(runtime().engine) as connection:
        page = events.page(connection, scope=actor().sources, **wanted)
    return {"data": [_shown(row) for row in page.rows], "next": page.next}


@routes.get("/events/<id>", responses={200: EventShape})
@role("service")
def show_event(path: ById) -> Response:
    """Show one event, with an ETag."""
    with reading(runtime().engine) as connection:
        row = events.find(connection, path.id)
    if row is None or not actor().reaches(row["source"]):
        raise NotFound("no such event")
    return tagged(_shown(row))


def _shown(row: RowMapping) -> dict[str, Any]:
    body: Mapping[str, Any] = json.loads(row["body"])
    return {"id": row["id"], "sequence": row["sequence"], **body}
