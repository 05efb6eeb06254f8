"""Own the pages of deliveries: each attempt with what was sent and what came back, the dead letters, and trying again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.sentences import text_body
from relay.errors import NotFound
from relay.flows.deliveries import retry
from relay.flows.endpoints import header_names
from relay.store import deliveries, endpoints, events
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import PER_PAGE, READERS, framed, named, number_of
from relay.web.context import actor, runtime

routes = Blueprint("deliveries_pages", __name__)


@routes.get("/console/deliveries")
@person(*READERS)
def listed() -> Response:
    """List deliveries, the newest first."""
    query = named(request.args, "state", "endpoint", "event", "orderid", "undelivered", state=deliveries.STATES)
    wanted: dict[str, Any] = {**query, "undelivered": "undelivered" in query}
    after = number_of(request.args.get("after", ""))
    with reading(runtime().engine) as connection:
        page = deliveries.page(connection, owner=None, after=after, limit=PER_PAGE, **wanted)
        known = endpoints.page(connection, owner=None, after=None, limit=250).rows
    return framed(
        "deliveries.html",
        "deliveries",
        query=query,
        page=page,
        after=after,
        states=deliveries.STATES,
        endpoints=known,
        now=now(),
    )


@routes.get("/console/dead")
@person(*READERS)
def dead() -> Response:
    """Show what was given up, by service and by the last answer, and one by one."""
    after = number_of(request.args.get("after", ""))
    with reading(runtime().engine) as connection:
        groups = deliveries.dead_by_answer(connection)
        page = deliveries.page(connection, owner=None, after=after, limit=PER_PAGE, state="dead")
    return framed("dead.html", "deliveries", groups=groups, page=page, after=after, now=now())


@routes.get("/console/deliveries/<id>")
@person(*READERS)
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show one delivery with its attempts, and the request that each of them sent."""
    number = number_of(id)
    with reading(runtime().engine) as connection:
        row = None if number is None else deliveries.find(connection, number)
        if row is None:
            raise NotFound("no such delivery")
        event: Mapping[Any, Any] = events.find(connection, row["event_id"]) or {}
        # By name, for a deleted endpoint is not found, and its deliveries are still looked at.
        endpoint = endpoints.named(connection, [row["endpoint_id"]])[0]
        history = deliveries.attempts_of(connection, row["id"])
    sent = _request(event, endpoint)
    return framed("delivery.html", "deliveries", row=row, endpoint=endpoint, history=history, request=sent, now=now())


@routes.post("/console/deliveries/<id>/retry")
@person("operator")
def again(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Send it now, with its whole schedule before it."""
    number = number_of(id)
    if number is None:
        raise NotFound("no such delivery")
    retry(runtime().engine, number, actor=actor(), now=now())
    runtime().memory.ring()
    return redirect(f"/console/deliveries/{number}", code=303)


def _request(event: Mapping[Any, Any], endpoint: Mapping[Any, Any]) -> dict[str, Any]:
    """What every attempt sends; the signature is of the attempt, and the values of own headers are never shown."""
    body: str | None = event["body"]
    if endpoint["format"] == "text":
        body = text_body(event["body"], runtime().settings.public_url).decode()
    if endpoint["format"] == "provider":
        body = None
    return {
        "url": event["notify_url"] if endpoint["kind"] == "per_order" else endpoint["url"],
        "own": header_names(endpoint),
        "event_id": event["id"],
        "body": body,
    }
