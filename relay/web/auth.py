"""Own who may call which route: keys, roles, and the rule that a route which says nothing is closed."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, g, request

from relay.core.actors import ROLES, Actor, hash_of
from relay.errors import Forbidden, Unauthorized
from relay.store import keys
from relay.store.engine import reading
from relay.web.context import runtime

View = TypeVar("View", bound=Callable[..., Any])

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BOOTSTRAP = Actor(id="admin", name="RELAY_ADMIN_KEY", roles=frozenset(ROLES))


@dataclass(frozen=True, slots=True)
class Access:
    """What a route declares: the roles that may call it, or the reason why anyone may."""

    roles: frozenset[str] = frozenset()
    public: str = ""


def role(*names: str) -> Callable[[View], View]:
    """Declare who may call a view; admins may too, and auditors when it only reads."""
    unknown = set(names) - set(ROLES)
    if unknown:
        raise ValueError(f"no such role: {sorted(unknown)}")
    return _declare(Access(roles=frozenset(names)))


def any_key(view: View) -> View:
    """Declare that every key of ours may call a view."""
    return _declare(Access(roles=frozenset(ROLES)))(view)


def public(reason: str) -> Callable[[View], View]:
    """Declare that a view needs no key, and why."""
    return _declare(Access(public=reason))


def _declare(access: Access) -> Callable[[View], View]:
    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]  # functions carry attributes, their type does not say so
        return view

    return declare


def access_of(app: Flask, endpoint: str) -> Access | None:
    """Return what a route declared, None for one that forgot."""
    return getattr(app.view_functions.get(endpoint), "access", None)


def guard(app: Flask) -> None:
    """Check every request that found a route before anything of it is read."""

    @app.before_request
    def _check() -> None:
        if request.endpoint is None:
            return
        access = access_of(app, request.endpoint)
        if access is None:
            raise Forbidden("this route declares no role")
        if not access.public:
            g.actor = _identify(request.headers.get("Authorization", ""))
            if not g.actor.may(access.roles, reads=request.method in READING_METHODS):
                raise Forbidden(f"this needs one of the roles {', '.join(sorted(access.roles | {'admin'}))}")


def _identify(header: str) -> Actor:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized("send a key: Authorization: Bearer rly_…")
    digest = hash_of(key.strip())
    if _is_admin_key(digest):
        return BOOTSTRAP
    with reading(runtime().engine) as connection:
        found = keys.actor_by_hash(connection, digest)
    if found is None:
        raise Unauthorized("this key is unknown or was revoked")
    return found


def _is_admin_key(digest: str) -> bool:
    admin_key = runtime().settings.admin_key
    return bool(admin_key) and hmac.compare_digest(hash_of(admin_key or ""), digest)
