"""Own the buttons that close a day and open it again, and what an auditor takes away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO

from flask import Blueprint, Response, redirect, request
from sqlalchemy import Connection, RowMapping
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import desk_of, now, sealer_of
from relay.core.days import Day
from relay.errors import NotFound
from relay.flows import close, day_files, month_close, months
from relay.store import audit as audit_store
from relay.store import closes
from relay.store.engine import reading, snapshot
from relay.web.auth import person, public
from relay.web.console.frame import READERS, framed, number_of
from relay.web.context import actor, runtime
from relay.web.finance.days import day_of
from relay.web.pages import HEADERS

routes = Blueprint("closes", __name__)

PIECE = 1024 * 1024


@routes.post("/finance/<day>/prepare")
@person("preparer")
def prepare(day: str) -> AnyResponse:
    """Prepare the close of a day, or prepare it anew."""
    around = request.form.get("around", "")
    close.prepare(desk_of(runtime()), day_of(day), actor=actor(), now=now(), around=around)
    return _back(day)


@routes.post("/finance/<day>/approve")
@person("approver")
def approve(day: str) -> AnyResponse:
    """Approve what another has prepared, and seal it."""
    sealer = sealer_of(runtime())
    close.approve(
        desk_of(runtime()),
        day_of(day),
        manifest_hash=request.form.get("manifest", ""),
        accepted=request.form.getlist("accept"),
        sign=sealer.sign,
        key_id=sealer.id,
        actor=actor(),
        now=now(),
    )
    runtime().memory.ring()
    return _back(day)


@routes.post("/finance/<month>/approve-month")
@person("approver")
def approve_month(month: str) -> AnyResponse:
    """Approve a month whose days are sealed."""
    if not months.is_month(month):
        raise NotFound("there is no such month; a month is named as 2026-11")
    sealer = sealer_of(runtime())
    read = request.form.get("manifest", "")
    month_close.approve(
        desk_of(runtime()),
        month,
        manifest_hash=read,
        sign=sealer.sign,
        key_id=sealer.id,
        actor=actor(),
        now=now(),
    )
    return redirect(f"/finance/{month}#close", code=303)


@routes.get("/finance/<month>/approval.json")
@person(*READERS)
def approval(month: str) -> Response:
    """Hand out the manifest of an approved month with its seal, as they were signed."""
    with reading(runtime().engine) as connection:
        row = closes.month_approval(connection, month)
    if row is None:
        raise NotFound("this month is not approved")
    seal = {"sealed": row["sealed"], "signature": row["seal"], "key_id": row["key_id"]}
    return Response(
        json.dumps({"manifest": row["manifest"], "seal": seal}), headers=HEADERS, mimetype="application/json"
    )


@routes.post("/finance/<day>/ask-reopen")
@person("preparer", "approver")
def ask_to_reopen(day: str) -> AnyResponse:
    """Ask for a sealed day to be opened again."""
    close.ask_to_reopen(desk_of(runtime()), day_of(day), request.form.get("reason", ""), actor=actor(), now=now())
    return _back(day)


@routes.post("/finance/<day>/reopen")
@person("approver")
def reopen(day: str) -> AnyResponse:
    """Agree that a sealed day is opened again."""
    close.reopen(desk_of(runtime()), day_of(day), actor=actor(), now=now())
    return _back(day)


@routes.get("/finance/<day>/evidence.zip")
@person("preparer", "approver")
def evidence(day: str) -> Response:
    """Hand out the evidence of a sealed day, or of a version of it that was reopened."""
    with ExitStack() as opened, snapshot(runtime().engine) as connection:
        row = _sealed(connection, day_of(day).name, request.args.get("version", ""))
        # What is larger than a piece lies on the disk until it was sent.
        spool = opened.enter_context(SpooledTemporaryFile(max_size=PIECE))
        files = closes.files(connection, row["day"], row["version"])
        day_files.evidence(spool, row, files, closes.keys(connection))
        opened.pop_all()
    answer = download(_sent(spool), f"evidence-{row['day']}-v{row['version']}.zip", "application/zip")
    # A HEAD never begins what would be sent, so that alone would not close it.
    answer.call_on_close(spool.close)
    return answer


def _sent(spool: IO[bytes]) -> Iterator[bytes]:
    with spool:
        spool.seek(0)
        yield from iter(partial(spool.read, PIECE), b"")


@routes.get("/finance/<day>/manifest.json")
@person(*READERS)
def manifest(day: str) -> Response:
    """Show the manifest of a closed day; of one that is still open, what it would be now."""
    asked = day_of(day)
    with reading(runtime().engine) as connection:
        row = closes.current(connection, asked.name)
    text = _draft(asked) if row is None else row["manifest"]
    return Response(text, headers=HEADERS, content_type="application/json")


def _draft(day: Day) -> str:
    desk = desk_of(runtime())
    version, previous = close.place_of(desk, day)
    return close.draft(desk, day, version=version, previous=previous, now=now()).manifest


@routes.get("/finance/audit")
@person("preparer", "approver", "operator")
def audit() -> Response:
    """List the acts, the newest first; asked to, walk the whole chain and tell whether it is whole."""
    with reading(runtime().engine) as connection:
        page = audit_store.page(connection, after=number_of(request.args.get("after", "")), limit=50)
        head = audit_store.head(connection)
        verified = audit_store.verify(connection) if "verify" in request.args else "not asked"
        keys = closes.keys(connection)
    acts = [{**row, "detail": json.loads(row["detail"])} for row in page.rows]
    return framed("audit.html", "audit", acts=acts, head=head, verified=verified, next=page.next, keys=keys)


@routes.get("/.well-known/relay-seal-keys.json")
@public("public keys are for everybody")
def keys() -> Response:
    """Tell the public halves of all keys that ever sealed a day."""
    with reading(runtime().engine) as connection:
        found = day_files.public_keys(closes.keys(connection))
    return Response(json.dumps({"keys": found}), content_type="application/json")


def download(content: bytes | Iterator[bytes], name: str, content_type: str) -> Response:
    """Return a file to be kept, not shown."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, content_type=content_type)


def _sealed(connection: Connection, day: str, version: str) -> RowMapping:
    is_number = version.isascii() and version.isdigit() and len(version) < 9
    row = closes.version_of(connection, day, int(version)) if is_number else closes.current(connection, day)
    if row is None or row["seal"] is None:
        raise NotFound("this day is not sealed")
    return row


def _back(day: str) -> AnyResponse:
    return redirect(f"/finance/{day}#close", code=303)
