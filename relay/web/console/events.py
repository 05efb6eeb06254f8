"""Own the pages of events: what was announced, to whom, and sending it again."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.events import EVENT_TYPES
from relay.errors import NotFound
from relay.flows import replays as flow
from relay.store import deliveries, events
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import PER_PAGE, READERS, framed, named, number_of
from relay.web.console.replays import which_of
from relay.web.context import actor, runtime

routes = Blueprint("events_pages", __name__)


@routes.get("/console/events")
@person(*READERS)
def listed() -> Response:
    """List events, the newest first."""
    query = named(request.args, "type", "source", "orderid", "unsent")
    wanted: dict[str, Any] = {name: value for name, value in query.items() if name != "unsent"}
    after = number_of(request.args.get("after", ""))
    with reading(runtime().engine) as connection:
        page = events.page(
            connection,
            scope=None,
            after=after,
            limit=PER_PAGE,
            unsent="unsent" in query,
            newest_first=True,
            **wanted,
        )
    sources = sorted(runtime().sources)
    return framed("events.html", "events", query=query, page=page, after=after, types=EVENT_TYPES, sources=sources)


@routes.get("/console/events/<id>")
@person(*READERS)
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show one event: its body, and every service that is told of it."""
    with reading(runtime().engine) as connection:
        row = events.find(connection, id)
        if row is None:
            raise NotFound("no such event")
        sent = deliveries.page(connection, owner=None, after=None, limit=PER_PAGE, event=id).rows
    body = json.dumps(json.loads(row["body"]), indent=2, ensure_ascii=False)
    return framed("event.html", "events", event=row, body=body, deliveries=sent)


@routes.post("/console/events/<id>/replay")
@person("operator")
def replay(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Send it again to those who failed, who were never told, or to all."""
    engine, moment = runtime().engine, now()
    wishes = {"event": id, "which": which_of(request.form)}
    planned = flow.plan(engine, wishes, actor=actor(), random=os.urandom(8), now=moment)
    row = flow.start(engine, planned, actor=actor(), now=moment)
    runtime().memory.ring()
    return redirect(f"/console/replays/{quote(row['id'])}", code=303)
