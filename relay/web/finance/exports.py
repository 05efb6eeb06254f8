"""Own the downloads of a day: CSV that streams, and a workbook; a closed day hands out what was closed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, stream_with_context
from sqlalchemy import Connection

from relay.bootstrap import now
from relay.core.days import Day
from relay.core.exports import BREAKS, ITEMS, TRANSFERS, Column, Control, csv_of
from relay.core.statement import judge
from relay.edge.workbook import Sheet, write_workbook
from relay.errors import NotFound
from relay.flows import days as flow
from relay.flows import workbook
from relay.store import closes, day_facts
from relay.store.engine import reading, snapshot
from relay.web.auth import person
from relay.web.console.frame import READERS
from relay.web.context import runtime
from relay.web.finance.closes import download
from relay.web.finance.days import calendar, day_of
from relay.web.pages import HEADERS

routes = Blueprint("exports", __name__)

NAMES = ("orders", "breaks", "transfers")
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
        kept = {} if row is None else dict(closes.files(connection, row["day"], row["version"]))
    file = f"{name}-{asked.name}.csv"
    if row is not None:
        return download(kept[f"{name}.csv"], file, "text/csv; charset=utf-8")
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{file}"'}
    return Response(
        stream_with_context(_streamed(asked, name)), headers=headers, content_type="text/csv; charset=utf-8"
    )


@routes.get("/finance/<day>/statement.xlsx")
@person(*READERS)
def as_workbook(day: str) -> Response:
    """Hand out the day as a workbook, of the figures as they are now."""
    asked, moment = day_of(day), now()
    with snapshot(runtime().engine) as connection, tempfile.TemporaryDirectory() as place:
        told = flow.statement_of(connection, asked, runtime().sources, runtime().settings.chains, now=moment)
        verdict = judge(told, moment, calendar().day_at(moment).date)
        row = closes.current(connection, asked.name)
        manifest = None if row is None else row["manifest"]
        sheets = [Sheet(*table) for table in workbook.tables(connection, told, verdict, manifest=manifest, now=moment)]
        path = Path(place) / "statement.xlsx"
        write_workbook(path, sheets, made_at=moment)
        content = path.read_bytes()
    return download(content, f"statement-{asked.name}.xlsx", XLSX)


def _streamed(day: Day, name: str) -> Iterator[bytes]:
    with snapshot(runtime().engine) as connection:
        columns, rows = _listed(connection, day, name)
        yield from csv_of(columns, rows, zone=day.zone, control=Control(), business_day=day.name)


def _listed(connection: Connection, day: Day, name: str) -> tuple[Sequence[Column], Iterable[Mapping[Any, Any]]]:
    if name == "orders":
        return ITEMS, day_facts.items(connection, day)
    if name == "breaks":
        return BREAKS, closes.breaks_of(connection, day)
    return TRANSFERS, closes.transfers_of(connection, day)
