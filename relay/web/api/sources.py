"""Own how sources are looked at, paused and resumed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from relay.bootstrap import now
from relay.flows import sources as flow
from relay.web.api.common import Input, Listed, Moment, Shape, Words, listed, part, shown
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("sources", "The configured providers.")


class SourcePath(Input):
    """A source by its name."""

    source: Words


class SourceShape(Shape):
    """A source; callbacks of a paused one are stored and acknowledged, and held."""

    name: str
    namespace: str
    adapter: str
    mode: str
    callback_url: str
    paused_at: Moment | None
    paused_by: str | None


@routes.get("/sources", responses={200: Listed[SourceShape]})
@role("operator")
def list_sources() -> dict[str, Any]:
    """List the configured sources."""
    return listed(SourceShape, map(asdict, _overview()), None)


@routes.post("/sources/<source>/pause", responses={200: SourceShape})
@role("operator")
def pause_source(path: SourcePath) -> dict[str, Any]:
    """Hold everything that a source sends from now on."""
    flow.pause(runtime().engine, runtime().sources, path.source, actor=actor(), now=now())
    return _one(path.source)


@routes.post("/sources/<source>/resume", responses={200: SourceShape})
@role("operator")
def resume_source(path: SourcePath) -> dict[str, Any]:
    """Let a source credit again; what was held meanwhile waits for a person."""
    flow.resume(runtime().engine, runtime().sources, path.source, actor=actor(), now=now())
    return _one(path.source)


def _overview() -> list[flow.SourceView]:
    return flow.overview(runtime().engine, runtime().sources, public_url=runtime().settings.public_url)


def _one(name: str) -> dict[str, Any]:
    return next(shown(SourceShape, asdict(one)) for one in _overview() if one.name == name)
