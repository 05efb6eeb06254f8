"""Own the door for people: signing in, signing out, and where one lands."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.actors import Actor
from relay.core.addresses import client_group
from relay.core.people import TOKEN_BYTES
from relay.errors import TooMany, Unauthorized
from relay.flows import sign_in as flow
from relay.store import people
from relay.store.engine import reading
from relay.web.auth import public_page, session_cookie, session_token
from relay.web.context import runtime
from relay.web.pages import page

routes = Blueprint("sign_in", __name__)

LANDING, FINANCE = "/console", "/finance"


@routes.get("/sign-in")
@public_page("one has to get in somewhere")
def sign_in() -> AnyResponse:
    """Ask for name and password; before there is anybody, tell of the set-up."""
    with reading(runtime().engine) as connection:
        if not people.is_anyone(connection):
            return redirect("/setup", code=303)
    return _form()


@routes.post("/sign-in")
@public_page("one has to get in somewhere")
def enter() -> AnyResponse:
    """Begin a session and go where one wanted to go."""
    token = urlsafe_b64encode(os.urandom(TOKEN_BYTES)).decode()
    name = request.form.get("name", "")
    try:
        person = flow.sign_in(
            runtime().engine,
            name,
            request.form.get("password", ""),
            address=client_group(g.client_address),
            token=token,
            before=session_token(),
            now=now(),
        )
    except (Unauthorized, TooMany) as error:
        return _form(error.http_status, name=name, fault=error)
    answer = redirect(local(request.form.get("next", ""), landing_of(person)), code=303)
    answer.set_cookie(
        session_cookie(),
        token,
        secure=session_cookie().startswith("__Host-"),
        httponly=True,
        # Strict would leave out the session of who follows the link that a chat tool was sent.
        samesite="Lax",
    )
    return answer


@routes.post("/sign-out")
@public_page("a session that is over can be left too")
def leave() -> AnyResponse:
    """End the session here and in the browser."""
    flow.sign_out(runtime().engine, session_token())
    answer = redirect("/sign-in", code=303)
    answer.delete_cookie(session_cookie(), secure=session_cookie().startswith("__Host-"), httponly=True, samesite="Lax")
    return answer


def landing_of(person: Actor) -> str:
    """Return where a person begins: whoever works with money at the day that is to be closed, others at the console."""
    return FINANCE if person.roles & {"preparer", "approver", "auditor"} else LANDING


def local(path: str, landing: str) -> str:
    """Return where to go after signing in: a path of ours, never another host's."""
    # Browsers take any number of slashes, either way round, for the two before a host (WHATWG URL, "special authority ignore slashes").
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours and path != "/" else landing


def _form(status: int = 200, *, name: str = "", fault: Unauthorized | TooMany | None = None) -> Response:
    wanted = request.values.get("next", "")
    answer = page("sign_in.html", status, name=name, next=wanted, fault=fault)
    if isinstance(fault, TooMany):
        answer.headers["Retry-After"] = str(fault.retry_after_s)
    return answer
