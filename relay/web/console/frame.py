"""Own what stands around every page of the console: who is signed in, and which processes have fallen silent."""

from __future__ import annotations

from datetime import datetime

from flask import Response
from sqlalchemy import Connection

from relay.bootstrap import now
from relay.store import heartbeats
from relay.store.engine import reading
from relay.web.context import actor, runtime
from relay.web.pages import page

READERS = ("preparer", "approver", "operator")


def framed(template: str, /, here: str, status: int = 200, **context: object) -> Response:
    """Return a page of the console; `here` is the entry of the bar that it stands under."""
    with reading(runtime().engine) as connection:
        warnings = silent(connection, now())
    return page(template, status, me=actor(), here=here, silent=warnings, sandbox=runtime().settings.sandbox, **context)


def silent(connection: Connection, moment: datetime) -> list[str]:
    """Say which kinds of process have not been heard of for SILENT_AFTER, and what that means."""
    seen = heartbeats.last_seen(connection)
    return [
        f"No {kind} has been heard of{_since(seen.get(kind), moment)}: {means}."
        for kind, means in (("worker", "nothing is delivered or matched"), ("clock", "nothing is started in time"))
        if kind not in seen or moment - seen[kind] > heartbeats.SILENT_AFTER
    ]


def _since(seen: datetime | None, moment: datetime) -> str:
    return " yet" if seen is None else f" for {int((moment - seen).total_seconds())} s"
