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
        off = int(sum(figures.switched_off(connection).values()))
    held, breaks = orders.get("held", (0, 0)), int(sum(severities.values()))
    return framed(
        "home.html",
        "console",
        is_stopped=any(
            one.is_on and chains[name]["stopped"] for name, one in settings.chains.items() if name in chains
        ),
        waits=_waits(held=held[0], breaks=breaks, dead=dead, off=off),
        held=held,
        confirming=orders.get("confirming", (0, 0)),
        severities=sorted(severities.items()),
        breaks=breaks,
        waiting=sum(count for count, _ in backlog.values()),
        oldest=min((since for _, since in backlog.values()), default=None),
        backlog=[(services[name], count, since) for name, (count, since) in backlog.items() if name in services],
        dead=dead,
        off=off,
        processes=[(row, moment - row.seen_at > heartbeats.SILENT_AFTER) for row in processes],
        queues=sorted((runtime().memory.waiting() or {}).items()),
        now=moment,
        chains=[(one, chains.get(name)) for name, one in settings.chains.items()],
        sources=[(one, states.get(name)) for name, one in runtime().sources.items()],
        public_url=settings.public_url,
        missing=lacks,
    )


def _waits(*, held: int, breaks: int, dead: int, off: int) -> list[str]:
    """What a person has to look at, each in a few words."""
    counts = (
        (held, "order is held", "orders are held"),
        (breaks, "break is open", "breaks are open"),
        (dead, "message was given up", "messages were given up"),
        (off, "service is told nothing", "services are told nothing"),
    )
    return [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
