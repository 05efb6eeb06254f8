"""Own the page one lands on: does everything run, is anything held, does anything wait for a person?"""

from __future__ import annotations

from flask import Blueprint, Response, redirect
from werkzeug.wrappers import Response as AnyResponse

from relay.store import chain, figures, sources
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
    settings = runtime().settings
    with reading(runtime().engine) as connection:
        orders = figures.undecided(connection)
        severities = figures.open_breaks(connection)
        backlog = figures.backlog(connection)
        chains = chain.states(connection)
        states = sources.states(connection)
        lacks = list(missing(connection))
    return framed(
        "home.html",
        "console",
        held=orders.get("held", (0, 0)),
        confirming=orders.get("confirming", (0, 0)),
        severities=sorted(severities.items()),
        breaks=int(sum(severities.values())),
        waiting=sum(count for count, _ in backlog.values()),
        chains=[(one, chains.get(name)) for name, one in settings.chains.items()],
        sources=[(one, states.get(name)) for name, one in runtime().sources.items()],
        public_url=settings.public_url,
        missing=lacks,
    )
