"""Own the live board at `/` and its buttons. No sign-in: it is served on 127.0.0.1 only, to pages of its own origin."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, Response, abort, redirect, request
from redis.exceptions import RedisError
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import Runtime
from relay.edge.redis import connect
from relay.sandbox import model
from relay.sandbox.facts import Facts, gather, read_children
from relay.sandbox.loopback import ask, is_loopback_name
from relay.sandbox.plan import Plan
from relay.web.auth import public
from relay.web.pages import page
from relay.web.requests import is_same_origin

REFRESH_S = 3
NO_SIGN_IN = "the sandbox has none, and is served on 127.0.0.1 only"
SAID = {
    "lose": "The next callback will be lost. The provider does not send it again.",
    "repeat": "The next callback will be sent three times at once.",
    "forge": "Forged: a digit of the last order's user moved into its number, under the same signature.",
    "kill-worker": "The worker was killed. The supervisor starts another; what it was sending is sent again.",
    "flush-redis": "Redis was emptied. SQL still knows every callback; only speed was lost.",
    "failed": "That did not work: the part it needs does not answer.",
}


def blueprint(runtime: Runtime, plan: Plan, *, children: Path) -> Blueprint:
    """Return the board and its buttons."""
    routes = Blueprint("board", __name__, template_folder="templates")
    acts = _acts(runtime, plan, children)

    @routes.before_request
    def only_from_here() -> None:
        """A name that was rebound to this machine, or a page of another origin, gets nothing."""
        if not is_loopback_name(request.host) or (request.method == "POST" and not is_same_origin()):
            abort(403)

    @routes.get("/")
    @public(NO_SIGN_IN)
    def board() -> Response:
        """Show the board; it asks for itself again every few seconds unless it is to hold still."""
        still = "still" in request.args
        facts = gather(runtime.engine, plan, children=children, now=datetime.now(UTC))
        response = render(facts, still=still, said=SAID.get(request.args.get("said", ""), ""))
        if not still:
            # A header, not a tag: the reader's "hold still" must be able to leave it out, and a reload keeps the place on the page.
            response.headers["Refresh"] = str(REFRESH_S) if "said" not in request.args else f"{REFRESH_S * 2}; url=/"
        return response

    @routes.post("/sandbox/<act>")
    @public(NO_SIGN_IN)
    def press(act: str) -> AnyResponse:
        """Do what the button says, then show the board again."""
        if act not in acts:
            abort(404)
        return redirect(f"/?said={act if acts[act]() else 'failed'}", code=303)

    return routes


def render(facts: Facts, *, still: bool, said: str) -> Response:
    """Return the page for these facts."""
    sums = model.totals(facts)
    return page(
        "board.html",
        headline=model.headline(sums),
        figures=model.figures(sums),
        rows=model.rows(facts),
        processes=model.processes(facts),
        armed=facts.book.armed if facts.book else {},
        at=f"{facts.now:%H:%M:%S}",
        still=still,
        said=said,
    )


def _acts(runtime: Runtime, plan: Plan, children: Path) -> dict[str, Callable[[], bool]]:
    """Return what each button does, by its path; False when the part it needs is away."""
    return {
        "lose": lambda: ask(f"{plan.provider_url}/arm", {"knob": "lose"}) is not None,
        "repeat": lambda: ask(f"{plan.provider_url}/arm", {"knob": "repeat"}) is not None,
        "forge": lambda: ask(f"{plan.provider_url}/forge", {}, timeout_s=10) is not None,
        "kill-worker": lambda: _kill("worker", children),
        "flush-redis": lambda: _flush(runtime),
    }


def _kill(name: str, children: Path) -> bool:
    """End a child's whole process group at once, as an out-of-memory killer would."""
    pid = next((child.pid for child in read_children(children) if child.name == name), None)
    if pid is None:
        return False
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def _flush(runtime: Runtime) -> bool:
    settings = runtime.settings
    try:
        connect(settings.redis_url, tls_verify=settings.redis_tls_verify).flushdb()
    except RedisError:
        return False
    return True
