"""Own what people do with their own account: change the password."""

from __future__ import annotations

import os

from flask import Blueprint, Response, request

from relay.bootstrap import now
from relay.core.actors import hash_of
from relay.core.people import ROLES, SALT_BYTES
from relay.errors import Unprocessable
from relay.flows import people as flow
from relay.web.auth import person, session_token
from relay.web.console.frame import framed
from relay.web.context import actor, runtime

routes = Blueprint("account", __name__)


@routes.get("/account")
@person(*ROLES)
def account() -> Response:
    """Show who one is, and ask for another password."""
    return framed("account.html", "account", said="", fault="")


@routes.post("/account")
@person(*ROLES)
def change_password() -> Response:
    """Take the new password; every other session of this person ends."""
    try:
        flow.change_password(
            runtime().engine,
            request.form.get("old", ""),
            request.form.get("new", ""),
            salt=os.urandom(SALT_BYTES),
            session=hash_of(session_token()),
            actor=actor(),
            now=now(),
        )
    except Unprocessable as error:
        return framed("account.html", "account", 422, said="", fault=error.detail)
    return framed("account.html", "account", said="The password is changed; other sessions have ended.", fault="")
