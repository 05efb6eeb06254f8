"""Own who may call which route: keys, sessions, roles, and the rule that a route which says nothing is closed.

Programs send a key with each request and reach the API; people have a session and reach the pages. Neither opens the
other's routes, so a page that a browser was lured to has nothing of the API to call.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Flask, g, redirect, request
from werkzeug.wrappers import Response

from relay.bootstrap import now
from relay.core.actors import ROLES, Actor, hash_of
from relay.errors import Forbidden, NotFound, Unauthorized
from relay.flows import sign_in
from relay.store import keys
from relay.store.engine import reading
from relay.web.context import runtime
from relay.web.requests import is_same_origin

View = TypeVar("View", bound=Callable[..., Any])

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BOOTSTRAP = Actor(id="admin", name="RELAY_ADMIN_KEY", roles=frozenset(ROLES))


@dataclass(frozen=True, slots=True)
class Access:
    """What a route declares: the roles that may call it, or the reason why anyone may; and whether it is a page for people."""

    roles: frozenset[str] = frozenset()
    public: str = ""
    page: bool = False


def role(*names: str) -> Callable[[View], View]:
    """Declare who may call a view with a key; admins may too, and auditors when it only reads."""
    return _declare(Access(roles=_known(names)))


def person(*names: str) -> Callable[[View], View]:
    """Declare who may open a page, or press its buttons, in a session; admins may too, and auditors when it only reads."""
    return _declare(Access(roles=_known(names), page=True))


def public_page(reason: str) -> Callable[[View], View]:
    """Declare that a page needs no session, and why."""
    return _declare(Access(public=reason, page=True))


def any_key(view: View) -> View:
    """Declare that every key of ours may call a view."""
    return _declare(Access(roles=frozenset(ROLES)))(view)


def public(reason: str) -> Callable[[View], View]:
    """Declare that a view needs no key, and why."""
    return _declare(Access(public=reason))


def _known(names: tuple[str, ...]) -> frozenset[str]:
    unknown = set(names) - set(ROLES)
    if unknown:
        raise ValueError(f"no such role: {sorted(unknown)}")
    return frozenset(names)


def _declare(access: Access) -> Callable[[View], View]:
    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]  # functions carry attributes, their type does not say so
        return view

    return declare


def access_of(app: Flask, endpoint: str) -> Access | None:
    """Return what a route declared, None for one that forgot."""
    return getattr(app.view_functions.get(endpoint), "access", None)


def is_page(app: Flask) -> bool:
    """Tell whether whoever asks is a person: on a page of ours, or anywhere else with a browser."""
    if request.endpoint is None:
        return request.accept_mimetypes.best_match(("application/problem+json", "text/html")) == "text/html"
    access = access_of(app, request.endpoint)
    return access is not None and access.page


def guard(app: Flask) -> None:
    """Check every request that found a route before anything of it is read."""

    @app.before_request
    def _check() -> Response | None:
        if request.endpoint is None:
            return None
        access = access_of(app, request.endpoint)
        if access is None:
            raise Forbidden("this route declares no role")
        reads = request.method in READING_METHODS
        # Postgres takes no NUL, and would call it our own failure; paths of the API are checked by their models.
        if access.page and "\0" in request.path:
            raise NotFound("no name of ours has a NUL")
        if access.page and not reads and not is_same_origin(runtime().settings.public_url):
            raise Forbidden("this was not sent from a page of ours")
        if access.public:
            return None
        found = _from_session() if access.page else _from_key(request.headers.get("Authorization", ""))
        if found is None:
            # After signing in a form's path would be opened by GET, which most of them do not answer.
            return redirect(f"/sign-in?next={quote(request.full_path.rstrip('?') if reads else '/')}", code=303)
        g.actor = found
        if not found.may(access.roles, reads=reads):
            raise Forbidden(f"this needs one of the roles {', '.join(sorted(access.roles | {'admin'}))}")
        return None


def session_cookie() -> str:
    """Return the name of the session's cookie; with the prefix, which needs TLS, no other host can set it (RFC 6265bis, 4.1.3)."""
    return "__Host-relay" if runtime().settings.public_url.startswith("https://") else "relay"


def session_token() -> str:
    """Return what the browser sent as its session; "" when it sent none."""
    return request.cookies.get(session_cookie(), "")


def is_admin_key(key: str) -> bool:
    """Tell whether this is the bootstrap key of the environment."""
    admin_key = runtime().settings.admin_key
    # As hashes: texts beyond ASCII would be refused, and the time would tell how long the key is.
    return bool(admin_key) and hmac.compare_digest(hash_of(admin_key or ""), hash_of(key))


def _from_session() -> Actor | None:
    token = session_token()
    return sign_in.identify(runtime().engine, token, now=now()) if token else None


def _from_key(header: str) -> Actor:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized("send a key: Authorization: Bearer rly_…")
    if is_admin_key(key.strip()):
        return BOOTSTRAP
    with reading(runtime().engine) as connection:
        found = keys.actor_by_hash(connection, hash_of(key.strip()))
    if found is None:
        raise Unauthorized("this key is unknown or was revoked")
    return found
