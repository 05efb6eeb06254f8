"""Own what stands around every page of the console: who is signed in, which processes have fallen silent, which tokens do not work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response
from sqlalchemy import Connection

from relay.bootstrap import now
from relay.core.platforms import start_command
from relay.core.processes import Sign, lost
from relay.errors import Unprocessable
from relay.flows.token_health import banner
from relay.store import heartbeats
from relay.store.engine import reading
from relay.web.context import actor, runtime
from relay.web.pages import page

READERS = ("preparer", "approver", "operator")
PER_PAGE = 50
# What a field of a form holds at most; no name of ours is longer.
LONGEST = 500


def framed(template: str, /, here: str, status: int = 200, **context: object) -> Response:
    """Return a page of the console; `here` is the entry of the bar that it stands under."""
    with reading(runtime().engine) as connection:
        around = {"silent": silent(connection, now()), "tokens": banner(connection)}
    return page(template, status, me=actor(), here=here, sandbox=runtime().settings.sandbox, **around, **context)


def number_of(text: str) -> int | None:
    """Return the number of a row that a path or a cursor names, None for anything else."""
    # Eighteen digits are below the largest BIGINT, whatever they are.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def named(given: Mapping[str, str], *names: str, **choices: Collection[str]) -> dict[str, str]:
    """Return what a query or a form says under these names, without what is empty.

    Raises Unprocessable for what is none of a name's `choices`, and for what is longer than any name of ours.
    """
    said = {name: value for name in names if (value := given.get(name, "").strip())}
    for name, value in said.items():
        if len(value) > LONGEST:
            raise Unprocessable(f"must have at most {LONGEST} characters", pointer=f"/{name}")
        if value not in choices.get(name, (value,)):
            raise Unprocessable(f"must be one of {', '.join(choices[name])}", pointer=f"/{name}")
    return said


@dataclass(frozen=True, slots=True)
class Silence:
    """Processes that nothing is heard of: what that means, what starts them on this platform, and whether all of a kind are gone."""

    sentence: str
    command: str
    stops: bool


def silent(connection: Connection, moment: datetime) -> list[Silence]:
    """Return which processes have not been heard of for SILENT_AFTER: all of a kind, or some beside others that go on."""
    signs, platform = heartbeats.listed(connection), runtime().settings.platform
    missed = lost(signs, now=moment, after=heartbeats.SILENT_AFTER)
    found = []
    for kind, means in (("worker", "nothing is delivered or matched"), ("clock", "nothing is started in time")):
        alive = [one for one in signs if one.kind == kind and moment - one.seen_at <= heartbeats.SILENT_AFTER]
        gone = [one for one in missed if one.kind == kind]
        last = max((one.seen_at for one in signs if one.kind == kind), default=None)
        if not alive:
            sentence = f"No {kind} has been heard of{_since(last, moment)}: {means}."
            found.append(Silence(sentence, start_command(platform, kind), stops=True))
        elif gone:
            sentence = f"{_counted(gone, kind)} not been heard of{_since(gone[0].seen_at, moment)}: ended without a word, or hangs."
            found.append(Silence(sentence, start_command(platform, kind, count=len(alive) + len(gone)), stops=False))
    return found


def _counted(gone: Sequence[Sign], kind: str) -> str:
    count = len(gone)
    return f"1 {kind} beside others has" if count == 1 else f"{count} {kind}s beside others have"


def _since(seen: datetime | None, moment: datetime) -> str:
    return " yet" if seen is None else f" for {int((moment - seen).total_seconds())} s"
