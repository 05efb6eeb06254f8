"""Own the pages of endpoints: how each does, in figures and in two pictures, and the buttons that stop it and let it go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now, office_of
from relay.core.charts import bars, middle
from relay.core.filters import filters_of
from relay.core.performance import SLICES, Try, performance, score
from relay.errors import NotFound
from relay.flows import endpoints as flow
from relay.store import deliveries, figures
from relay.store import endpoints as store
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import PER_PAGE, READERS, framed, named
from relay.web.context import actor, runtime

routes = Blueprint("endpoints_pages", __name__)

# Of each endpoint so many deliveries are looked at, the newest: for a line of the list, and for its own page.
FEW, MANY = 200, 2_000
STOPS = {"pause": "paused", "disable": "disabled"}


@routes.get("/console/endpoints")
@person(*READERS)
def listed() -> Response:
    """List the endpoints with how each does, the newest first."""
    after = named(request.args, "after").get("after")
    with reading(runtime().engine) as connection:
        page = store.page(connection, owner=None, after=after, limit=PER_PAGE)
        tries = _tries(connection, [row["id"] for row in page.rows], FEW)
        backlog = figures.backlog(connection)
    scores = {row["id"]: score(tries[row["id"]]) for row in page.rows}
    return framed(
        "endpoints.html", "endpoints", page=page, after=after, scores=scores, backlog=backlog, few=FEW, now=now()
    )


@routes.get("/console/endpoints/<id>")
@person(*READERS)
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show one endpoint: how it does lately, what waits for it, and what it wants to be told."""
    moment = now()
    with reading(runtime().engine) as connection:
        found = store.named(connection, [id])
        if not found:
            raise NotFound("no such endpoint")
        tries = _tries(connection, [id], MANY)[id]
        backlog = figures.backlog(connection).get(id)
        waiting = store.waiting(connection, id)
        counted = deliveries.count_of(connection, id, most=MANY)
    told = performance(tries, now=moment, is_all=counted < MANY)
    scores = [one for _, one in told.slices]
    return framed(
        "endpoint.html",
        "endpoints",
        row=found[0],
        told=told,
        filters=filters_of(found[0]),
        headers=flow.header_names(found[0]),
        backlog=backlog,
        waiting=waiting,
        tried=bars([[one.succeeded for one in scores], [one.failed for one in scores]], places=SLICES),
        took=bars([[one.median_ms or 0 for one in scores], [one.p95_ms or 0 for one in scores]], places=SLICES),
        names=[
            (middle(place, places=SLICES), f"{begin:%H:%M}")
            for place, (begin, _) in enumerate(told.slices)
            if place % 3 == 0
        ],
        now=moment,
    )


@routes.post("/console/endpoints/<id>/<any(pause, disable):how>")
@person("operator")
def stop(id: str, how: str) -> AnyResponse:  # noqa: A002  # as above
    """Send nothing for a while; what happens meanwhile waits."""
    flow.stop(office_of(runtime()), id, STOPS[how], actor=actor(), now=now())
    return _back(id)


@routes.post("/console/endpoints/<id>/enable")
@person("operator")
def enable(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Let it go on: what waited is sent, or given up where that was ticked."""
    flow.enable(office_of(runtime()), id, skip="skip" in request.form, actor=actor(), now=now())
    runtime().memory.ring()
    return _back(id)


@routes.post("/console/endpoints/<id>/test")
@person("operator")
def test(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Send a `relay.test` to it alone, and go to where that is watched."""
    delivery = flow.test(office_of(runtime()), id, actor=actor(), now=now())
    runtime().memory.ring()
    return redirect(f"/console/deliveries/{delivery}", code=303)


def _back(endpoint_id: str) -> AnyResponse:
    return redirect(f"/console/endpoints/{quote(endpoint_id)}", code=303)


def _tries(connection: Connection, ids: Collection[str], most: int) -> defaultdict[str, list[Try]]:
    """The attempts of each endpoint's newest deliveries; one whose process vanished says nothing of the endpoint."""
    found: defaultdict[str, list[Try]] = defaultdict(list)
    for row in deliveries.recent_attempts(connection, ids, most=most):
        if row["outcome"] in ("delivered", "failed"):
            found[row["endpoint_id"]].append(Try(row["started_at"], row["outcome"] == "delivered", row["latency_ms"]))
    return found
