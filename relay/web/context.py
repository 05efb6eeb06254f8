"""Own the way from a request to the runtime of its process and to whoever sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flask import current_app, g

from relay.core.actors import Actor

if TYPE_CHECKING:
    from relay.bootstrap import Runtime

EXTENSION = "relay"


def runtime() -> Runtime:
    """Return the runtime that the running application was created with."""
    return cast("Runtime", current_app.extensions[EXTENSION])


def actor() -> Actor:
    """Return whoever sent this request; only a route with a role has one."""
    return cast("Actor", g.actor)
