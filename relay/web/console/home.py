"""Own the page one lands on: does everything run, is anything held, does anything wait for a person?"""

from __future__ import annotations

from flask import Blueprint, Response, redirect
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.store import chain, endpoints, figures, heartbeats, sources
from relay.store.engine import reading
from relay.web.auth import person, public_page
from relay.web.console.frame import READERS, framed
from relay.web.console.setup import missing
from relay.web.console.sign_in import LANDING
from relay.web.context import runtime

routes = Blueprint("home", __name__)


@public_page("it only shows the way")
def front() -> AnyResponse:
    """Go to the landing page; the sandbox has its board there instead."""
    return redirect(LANDING, code=303)


@routes.get(LANDING)
@person(*READERS)
def home() -> Response:
    """Show how the house stands, in one sentence and a few figures."""
    settings, moment = runtime().settings, now()
    with reading(runtime().engine) as connection:
        orders = figures.undecided(connection)
        severities = figures.open_breaks(connection)
        backlog = figures.backlog(connection)
        chains = chain.states(connection)
        states = sources.states(connection)
        lacks = list(missing(connection))
        processes = heartbeats.listed(connection)
        services = {row["id"]: row for row in endpoints.named(connection, backlog)}
        dead = figures.dead(connection)
    return framed(
        "home.html",
        "console",
        held=orders.get("held", (0, 0)),
        confirming=orders.get("confirming", (0, 0)),
        severities=sorted(severities.items()),
        breaks=int(sum(severities.values())),
        waiting=sum(count for count, _ in backlog.values()),
        oldest=min((since for _, since in backlog.values()), default=None),
        backlog=[(services[name], count, since) for name, (count, since) in backlog.items() if name in services],
        dead=dead,
        processes=[(row, moment - row.seen_at > heartbeats.SILENT_AFTER) for row in processes],
        queues=sorted((runtime().memory.waiting() or {}).items()),
        now=moment,
        chains=[(one, chains.get(name)) for name, one in settings.chains.items()],
        sources=[(one, states.get(name)) for name, one in runtime().sources.items()],
        public_url=settings.public_url,
        missing=lacks,
    )
