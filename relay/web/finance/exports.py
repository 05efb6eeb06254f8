"""Own the downloads of a day: CSV that streams, and a workbook; a closed day hands out what was closed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, redirect, stream_with_context
from sqlalchemy import Connection, RowMapping
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import desk_of, now
from relay.core.days import Day
from relay.core.exports import BREAKS, CASH, FIGURES, ITEMS, PENDING, TRANSFERS, Column, Control, csv_of
from relay.core.ids import time_ordered_id
from relay.edge.workbook import write_workbook
from relay.errors import NotFound
from relay.flows import day_files, workbook
from relay.flows.days import figures_of, statement_of
from relay.store import closes, day_facts, day_figures, workbooks
from relay.store.engine import reading, snapshot, writing
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import actor, runtime
from relay.web.finance.closes import download
from relay.web.finance.days import day_of

routes = Blueprint("exports", __name__)

NAMES = ("statement", "orders", "breaks", "pending", "transfers", "cash")
JOB = "jobs.workbook.run"
# A page that waits looks again so often; a job that has made nothing for so long is begun once more.
AGAIN, LOST_AFTER = timedelta(seconds=3), timedelta(minutes=5)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@routes.get("/finance/<day>/<name>.csv")
@person(*READERS)
def as_csv(day: str, name: str) -> Response:
    """Hand out a list of the day; of a closed one the very bytes that were closed."""
    asked = day_of(day)
    if name not in NAMES:
        raise NotFound(f"there are {', '.join(NAMES)}")
    with reading(runtime().engine) as connection:
        row = closes.current(connection, asked.name)
        is_kept = row is not None and closes.has_file(connection, row["day"], row["version"], f"{name}.csv")
    pieces = _kept(row, f"{name}.csv") if row is not None and is_kept else _streamed(asked, name)
    # The pieces are read when the view has returned, and look for the runtime in the context of the request.
    return download(stream_with_context(pieces), f"{name}-{asked.name}.csv", "text/csv; charset=utf-8")


@routes.get("/finance/<day>/statement.xlsx")
@person(*READERS)
def as_workbook(day: str) -> AnyResponse:
    """Hand out the day as a workbook, of the figures as they are now; a large one is asked for first, and awaited."""
    asked, desk = day_of(day), desk_of(runtime())
    with reading(runtime().engine) as connection:
        is_large = workbook.is_large(connection, asked)
    if is_large:
        return _asked(asked)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "statement.xlsx"
        workbook.write_day(desk, asked, path, write=write_workbook, now=now())
        return download(path.read_bytes(), f"statement-{asked.name}.xlsx", XLSX)


@routes.get("/finance/<day>/workbooks/<id>")
@person(*READERS)
def awaited(day: str, id: str) -> Response:  # noqa: A002  # named as the rule names it
    """Hand out a workbook that was asked for, or wait for it."""
    asked = day_of(day)
    with reading(runtime().engine) as connection:
        row = workbooks.find(connection, id)
    if row is None or row["day"] != asked.name:
        raise NotFound("this workbook was kept for a day; ask for another")
    if row["made_at"] is not None:
        return download(stream_with_context(_made(id)), f"statement-{asked.name}.xlsx", XLSX)
    waited = now() - row["asked_at"]
    if waited > LOST_AFTER and waited % LOST_AFTER < AGAIN:
        # Its job may have been lost with Redis; made twice it is the same, but a slow one is not begun at each look.
        runtime().queue.enqueue(JOB, id)
    shown = framed("awaited.html", "statement", day=asked, row=row, now=now())
    shown.headers["Refresh"] = str(AGAIN.seconds)
    return shown


def _asked(day: Day) -> AnyResponse:
    moment = now()
    export_id = time_ordered_id("exp", moment, os.urandom(10))
    with writing(runtime().engine) as connection:
        workbooks.ask(connection, export_id, day.name, by=actor().id, now=moment)
    # Only when the row is committed: a worker may be faster than we are.
    runtime().queue.enqueue(JOB, export_id)
    return redirect(f"/finance/{day.name}/workbooks/{export_id}", code=303)


def _made(export_id: str) -> Iterator[bytes]:
    with reading(runtime().engine) as connection:
        yield from workbooks.pieces(connection, export_id)


def _kept(row: RowMapping, name: str) -> Iterator[bytes]:
    with snapshot(runtime().engine) as connection:
        yield from closes.pieces(connection, row["day"], row["version"], name)


def _streamed(day: Day, name: str) -> Iterator[bytes]:
    with snapshot(runtime().engine) as connection:
        columns, rows = _listed(connection, day, name)
        yield from csv_of(columns, rows, zone=day.zone, control=Control(), business_day=day.name)


def _listed(connection: Connection, day: Day, name: str) -> tuple[Sequence[Column], Iterable[Mapping[Any, Any]]]:
    if name == "statement":
        moment, desk = now(), desk_of(runtime())
        told = statement_of(connection, day, desk.sources, desk.chains, now=moment)
        return FIGURES, figures_of(connection, told, desk.calendar, moment)
    if name == "pending":
        return PENDING, day_figures.pending_orders(connection, day)
    if name == "orders":
        return ITEMS, day_facts.items(connection, day)
    if name == "cash":
        return CASH, day_files.cash_rows(connection, day)
    if name == "breaks":
        return BREAKS, closes.breaks_of(connection, day)
    return TRANSFERS, closes.transfers_of(connection, day)
