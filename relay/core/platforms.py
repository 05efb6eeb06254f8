"""Own which platform we run on, as the names in its environment give it away, and how a process of ours is started there."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Dokku calls its processes dynos as well, so its own names are looked for first. Other names than these may be anybody's: RENDERER.
_MARKS = (("dokku", re.compile("DOKKU_.*")), ("heroku", re.compile("DYNO")), ("render", re.compile("RENDER")))
_COMMANDS = {
    "dokku": "dokku ps:scale <app> {0}={1}",
    "heroku": "heroku ps:scale {0}={1}",
    "render": "resume relay-{0} on the dashboard",
}


def platform_of(names: Iterable[str]) -> str:
    """Return the platform that variables of these names are set on, "" where none gives itself away."""
    names = list(names)
    return next((platform for platform, mark in _MARKS if any(map(mark.fullmatch, names))), "")


def start_command(platform: str, kind: str, *, count: int = 1) -> str:
    """Return how a `worker` or a `clock` is started on a platform, where so many are to run."""
    return _COMMANDS.get(platform, "python -m jobs.{0}").format(kind, count)
