"""Own the pages of replays: counted first, then started, then watched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.events import EVENT_TYPES
from relay.errors import NotFound, Unprocessable
from relay.flows import replays as flow
from relay.store import endpoints
from relay.store import replays as store
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import PER_PAGE, READERS, framed, named
from relay.web.context import actor, runtime

routes = Blueprint("replays_pages", __name__)

WHICH = {
    "failed": "what was given up",
    "missing": "what a service wants and was never sent",
    "all": "both, and what was delivered",
}
REFRESH_S = 3
_FIELDS = ("only", "endpoint", "type", "source", "orderid", "since", "until")


@routes.get("/console/replays")
@person(*READERS)
def listed() -> Response:
    """List replays, the newest first."""
    after = named(request.args, "after").get("after")
    with reading(runtime().engine) as connection:
        page = store.page(connection, creator=None, after=after, limit=PER_PAGE)
    return framed("replays.html", "replays", page=page, after=after, now=now())


@routes.get("/console/replays/new")
@person("operator")
def wish() -> Response:
    """Ask which events are to be sent again, and count what that would be before anything is."""
    query = named(request.args, *_FIELDS)
    count = flow.count(runtime().engine, _plan(query)) if query else None
    with reading(runtime().engine) as connection:
        known = endpoints.page(connection, owner=None, after=None, limit=250).rows
    return framed(
        "replay_new.html",
        "replays",
        query=query,
        count=count,
        which=WHICH,
        endpoints=known,
        types=EVENT_TYPES,
        sources=sorted(runtime().sources),
    )


@routes.post("/console/replays")
@person("operator")
def start() -> AnyResponse:
    """Send them."""
    row = flow.start(runtime().engine, _plan(named(request.form, *_FIELDS)), actor=actor(), now=now())
    runtime().memory.ring()
    return redirect(f"/console/replays/{quote(row['id'])}", code=303)


@routes.get("/console/replays/<id>")
@person(*READERS)
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show how far a replay has come; while it runs, the page comes again by itself."""
    with reading(runtime().engine) as connection:
        row = store.find(connection, id)
        if row is None:
            raise NotFound("no such replay")
        target = endpoints.named(connection, [row["endpoint_id"]] if row["endpoint_id"] else [])
    shown = framed("replay.html", "replays", row=row, endpoint=target[0] if target else None, which=WHICH, now=now())
    if row["state"] == "running":
        # By a header, since the policy of pages allows no script.
        shown.headers["Refresh"] = str(REFRESH_S)
    return shown


@routes.post("/console/replays/<id>/cancel")
@person("operator")
def cancel(id: str) -> AnyResponse:  # noqa: A002  # as above
    """End it; what was made due already is sent all the same."""
    flow.cancel(runtime().engine, id, actor=actor(), now=now())
    return redirect(f"/console/replays/{quote(id)}", code=303)


def which_of(form: Mapping[str, str]) -> str:
    """Return which deliveries a form asks for; Unprocessable for what is no choice."""
    which = form.get("only") or "failed"
    if which not in WHICH:
        raise Unprocessable(f"must be one of {', '.join(WHICH)}", pointer="/only")
    return which


def _plan(query: Mapping[str, str]) -> dict[str, Any]:
    wishes = {
        "which": which_of(query),
        "endpoint_id": query.get("endpoint"),
        **{name: query.get(name) for name in ("type", "source", "orderid")},
        **{name: _moment(query.get(name, ""), name) for name in ("since", "until")},
    }
    return flow.plan(runtime().engine, wishes, actor=actor(), random=os.urandom(8), now=now())


def _moment(text: str, name: str) -> datetime | None:
    """Read a moment in UTC, as the browser's field writes it; one that names its zone is that moment."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unprocessable("must be a moment such as 2026-11-23T12:00", pointer=f"/{name}") from None
