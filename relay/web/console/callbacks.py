"""Own the pages of what came to the callback door: the refused by cause, what each looks like, and the way through it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import now, presets
from relay.core.likeness import Likeness, likeness
from relay.core.probing import Report, probe
from relay.core.signatures import Secret
from relay.errors import NotFound, Unprocessable
from relay.flows import reprocess
from relay.flows.reprocess import Outcome, raw_request_of
from relay.store import callbacks
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import PER_PAGE, framed, named, number_of
from relay.web.context import actor, runtime

routes = Blueprint("callbacks_pages", __name__)

VERDICTS = ("accepted", "conflict", "rejected")


@routes.get("/console/callbacks")
@person("operator")
def listed() -> Response:
    """List requests, the newest first."""
    query = named(request.args, "verdict", "source", "reason", verdict=VERDICTS)
    after = number_of(request.args.get("after", ""))
    wanted: dict[str, Any] = dict(query)
    with reading(runtime().engine) as connection:
        page = callbacks.page(connection, after=after, limit=PER_PAGE, **wanted)
    sources = sorted(runtime().sources)
    return framed(
        "callbacks.html", "callbacks", query=query, page=page, after=after, verdicts=VERDICTS, sources=sources
    )


@routes.get("/console/callbacks/rejected")
@person("operator")
def rejected() -> Response:
    """Show the refused by source and cause, each kind with what its newest looks like."""
    return _rejected()


@routes.post("/console/callbacks/rejected")
@person("operator")
def reprocess_kind() -> Response:
    """Send the oldest of a kind through the door again, or only tell what would become of them."""
    given = named(request.form, "source", "reason")
    outcomes, following = reprocess.rejected(
        runtime().engine,
        runtime().forwarder,
        source=given.get("source"),
        reason=given.get("reason"),
        after=number_of(request.form.get("after", "")),
        limit=reprocess.PAGE,
        dry_run=_is_dry(),
        actor=actor(),
        now=now(),
    )
    return _rejected(outcomes=outcomes, following=following, asked=given, dry_run=_is_dry())


@routes.get("/console/callbacks/<id>")
@person("operator")
def one(id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Show one request as it came; `probe` tries everything that could have signed it."""
    return _one(number_of(id))


@routes.post("/console/callbacks/<id>/reprocess")
@person("operator")
def again(id: str) -> AnyResponse:  # noqa: A002  # as above
    """Send it through the door again with today's configuration, or only tell what would become of it."""
    number = number_of(id)
    if number is None:
        raise NotFound("no such callback")
    door, dry_run = runtime().forwarder, _is_dry()
    outcome = reprocess.one(runtime().engine, door, number, dry_run=dry_run, actor=actor(), now=now())
    return _one(number, outcome=outcome, dry_run=dry_run)


def _is_dry() -> bool:
    how = request.form.get("how", "")
    if how not in ("try", "do"):
        raise Unprocessable("must be try or do", pointer="/how")
    return how == "try"


def _rejected(
    *,
    outcomes: Sequence[Outcome] | None = None,
    following: object = None,
    asked: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Response:
    with reading(runtime().engine) as connection:
        groups = callbacks.rejected_kinds(connection, most=PER_PAGE)
        newest = {row["id"]: row for row in callbacks.these(connection, [group["newest"] for group in groups])}
    # A flood may have evicted the newest of a kind between the two statements.
    rows = [(group, _likeness(newest[group["newest"]])) for group in groups if group["newest"] in newest]
    return framed(
        "rejected.html",
        "callbacks",
        groups=rows,
        outcomes=outcomes,
        following=following,
        asked=asked,
        dry_run=dry_run,
        sources=runtime().sources,
        now=now(),
    )


def _one(number: int | None, *, outcome: Outcome | None = None, dry_run: bool = False) -> Response:
    with reading(runtime().engine) as connection:
        row = None if number is None else callbacks.find(connection, number)
    if row is None:
        raise NotFound("no such callback")
    is_refused = row["verdict"] == "rejected"
    return framed(
        "callback.html",
        "callbacks",
        row=row,
        headers=json.loads(row["headers"]),
        body=None if row["body"] is None else row["body"].decode("utf-8", "backslashreplace"),
        like=_likeness(row) if is_refused else None,
        reports=_reports(row) if is_refused and "probe" in request.args else None,
        sources=runtime().sources,
        outcome=outcome,
        dry_run=dry_run,
    )


def _secrets(source: str) -> dict[str, Sequence[Secret]]:
    """Whose secrets are tried: those of the source that was called; of all where there is no such source."""
    known = runtime().sources
    return {one.name: one.secrets for one in known.values() if one.name == source or source not in known}


def _likeness(row: Mapping[Any, Any]) -> Likeness | None:
    if row["body"] is None:
        return None
    called = f"{runtime().settings.public_url}/callbacks/{row['source']}"
    return likeness(raw_request_of(row), _secrets(row["source"]), presets(), now=now(), url=called)


def _reports(row: Mapping[Any, Any]) -> list[tuple[str, Report]]:
    """What everything that could be tried came to, for each source and secret."""
    if row["body"] is None:
        return []
    called, moment = f"{runtime().settings.public_url}/callbacks/{row['source']}", now()
    return [
        (source, replace(probe(raw_request_of(row), key.value, presets(), now=moment, url=called), traces=()))
        for source, keys in _secrets(row["source"]).items()
        for key in keys
    ]
