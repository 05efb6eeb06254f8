"""Own the buttons that pause a source and let it go on."""

from __future__ import annotations

from flask import Blueprint, redirect
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now
from relay.flows import sources as flow
from relay.web.auth import person
from relay.web.console.sign_in import LANDING
from relay.web.context import actor, runtime

routes = Blueprint("source_acts", __name__)


@routes.post("/console/sources/<source>/pause")
@person("operator")
def pause(source: str) -> AnyResponse:
    """Hold everything that a source sends from now on."""
    flow.pause(runtime().engine, runtime().sources, source, actor=actor(), now=now())
    return redirect(LANDING, code=303)


@routes.post("/console/sources/<source>/resume")
@person("operator")
def resume(source: str) -> AnyResponse:
    """Let a source credit again."""
    flow.resume(runtime().engine, runtime().sources, source, actor=actor(), now=now())
    return redirect(LANDING, code=303)
