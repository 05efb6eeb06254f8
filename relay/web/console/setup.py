"""Own the first start: `RELAY_ADMIN_KEY` makes the first people, once, and the page tells what is still missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, redirect, request
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.core.addresses import client_group
from relay.core.people import ROLES, SALT_BYTES
from relay.errors import Conflict, RequestRejected, TooMany, Unauthorized
from relay.flows import people as flow
from relay.flows import sign_in
from relay.flows.people import Newcomer
from relay.store import endpoints, people
from relay.store.engine import reading, writing
from relay.web.auth import BOOTSTRAP, is_admin_key, public_page
from relay.web.console.frame import silent
from relay.web.context import runtime
from relay.web.pages import page

routes = Blueprint("setup", __name__)

REASON = "there is nobody yet who could sign in; the admin key is asked for"
# A day is closed by two persons, and somebody has to let others in.
FIRST = (("admin", True), ("preparer", False), ("approver", False))
NAME = "RELAY_ADMIN_KEY"


@routes.get("/setup")
@public_page(REASON)
def setup() -> AnyResponse:
    """Ask for the key and the first people; closed once there is anybody."""
    with reading(runtime().engine) as connection:
        if people.is_anyone(connection):
            return redirect("/sign-in", code=303)
    return _form()


@routes.post("/setup")
@public_page(REASON)
def make() -> AnyResponse:
    """Make the first people, and tell what is missing and what the provider has to be given."""
    moment = now()
    try:
        _check_key(request.form.get("key", ""), moment)
        flow.set_up(runtime().engine, list(_newcomers()), actor=BOOTSTRAP, now=moment)
    except Conflict:
        return redirect("/sign-in", code=303)
    except RequestRejected as error:
        return _form(error.http_status, fault=error)
    with reading(runtime().engine) as connection:
        names = [row["name"] for row in people.listed(connection)]
        return page(
            "setup_done.html",
            names=names,
            missing=[*missing(connection), *(f"{one.sentence} {one.command}" for one in silent(connection, moment))],
            callbacks=callbacks(),
        )


def callbacks() -> dict[str, str]:
    """Return the URL that each source's provider is to call."""
    return {name: f"{runtime().settings.public_url}/callbacks/{name}" for name in runtime().sources}


def missing(connection: Connection) -> Iterator[str]:
    """Say what this installation still lacks, a sentence each."""
    settings = runtime().settings
    # The sandbox's provider is on this machine.
    if not settings.sandbox:
        yield from _missing_outside(settings.public_url)
    if not runtime().memory.answers():
        yield "Redis does not answer: callbacks are safe, but everything is slower."
    if not endpoints.page(connection, owner=None, after=None, limit=1).rows:
        yield "No service is told of credits yet: python -m relay endpoints create URL."
    for chain in settings.chains.values():
        if not chain.is_on:
            yield f"The chain {chain.name} is not checked: CHAIN_{chain.name.upper()}_RPC_URLS names no node."


def _missing_outside(public_url: str) -> Iterator[str]:
    host = urlsplit(public_url).hostname or ""
    if host == "localhost" or host.startswith("127."):
        yield "PUBLIC_URL is not set: no provider can reach this machine."
    elif not public_url.startswith("https://"):
        yield "PUBLIC_URL has no TLS: callbacks and passwords travel in the open."


def _check_key(key: str, moment: datetime) -> None:
    address = client_group(g.client_address)
    sign_in.count(runtime().engine, NAME, address, now=moment)
    if not is_admin_key(key.strip()):
        raise Unauthorized("this is not the key in RELAY_ADMIN_KEY")
    with writing(runtime().engine) as connection:
        sign_in.forgive(connection, NAME, address, now=moment)


def _newcomers() -> Iterator[Newcomer]:
    for role, is_required in FIRST:
        name, password = request.form.get(f"{role}_name", ""), request.form.get(f"{role}_password", "")
        if is_required or name or password:
            yield Newcomer(name, (role,), password, os.urandom(SALT_BYTES))


def _form(status: int = 200, *, fault: RequestRejected | None = None) -> Response:
    given = {role: request.form.get(f"{role}_name", "") for role in ROLES}
    has_key = runtime().settings.admin_key is not None
    answer = page("setup.html", status, first=FIRST, given=given, fault=fault, has_key=has_key)
    if isinstance(fault, TooMany):
        answer.headers["Retry-After"] = str(fault.retry_after_s)
    return answer
