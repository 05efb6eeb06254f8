"""Own what stands on the sheets of a day's workbook: the same figures as its page, each from the same reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from relay.core.closing import digest
from relay.core.days import Day, read_day
from relay.core.events import rfc3339
from relay.core.exports import BREAKS, CASH, FIGURES, ITEMS, PENDING, Column, Sheet
from relay.core.statement import Statement
from relay.core.statement_lines import Figure
from relay.flows import day_files
from relay.flows.close import Desk
from relay.flows.days import day_named, figures_of, statement_of
from relay.store import closes, day_facts, day_figures, workbooks
from relay.store.engine import reading, snapshot, writing

# Above so many orders a workbook is made by a job, and its page waits for it.
MOST_AT_ONCE = 5_000

Write = Callable[[Path, Iterable[Sheet], datetime], None]

_PARAMETERS = (Column("name", "name"), Column("value", "value"))


def write_day(desk: Desk, day: Day, path: Path, *, write: Write, now: datetime) -> None:
    """Write the workbook of a day to a file, all from one snapshot."""
    with snapshot(desk.engine) as connection:
        told = statement_of(connection, day, desk.sources, desk.chains, now=now)
        row = closes.current(connection, day.name)
        listed = figures_of(connection, told, desk.calendar, now)
        write(path, _sheets(connection, told, listed, manifest=None if row is None else row["manifest"], now=now), now)


def make_asked(desk: Desk, export_id: str, *, write: Write, now: datetime) -> None:
    """Make the workbook that somebody has asked for, and keep it; one that is made, or was forgotten, is left alone."""
    with reading(desk.engine) as connection:
        asked = workbooks.find(connection, export_id)
        day = None if asked is None else day_named(connection, desk.calendar, read_day(asked["day"]))
    if asked is None or day is None or asked["made_at"] is not None:
        return
    with TemporaryDirectory() as place:
        path = Path(place) / "statement.xlsx"
        write_day(desk, day, path, write=write, now=now)
        with writing(desk.engine) as connection:
            workbooks.keep(connection, export_id, path.read_bytes(), now=now)


def _sheets(
    connection: Connection, told: Statement, listed: Iterable[Figure], *, manifest: str | None, now: datetime
) -> Iterator[Sheet]:
    day = told.day
    fixed = {"business_day": day.name}
    yield Sheet("Summary", FIGURES, ({**row, **fixed} for row in listed), totals=False)
    yield Sheet("Proof of cash", CASH, (row | fixed for row in day_files.cash_rows(connection, day)))
    found = closes.breaks_of(connection, day)
    yield Sheet("Breaks", BREAKS, ({**row, **fixed} for row in found))
    yield Sheet("Pending", PENDING, ({**row, **fixed} for row in day_figures.pending_orders(connection, day)))
    # What agrees and what differs are together every order of the day; both are read in one go, a sheet after the other.
    every = ({**row, **fixed} for row in day_facts.items(connection, day, agreeing_first=True))
    parts = groupby(every, key=lambda row: row["reason"] == "agrees")
    agrees, rows = next(parts, (False, iter(())))
    yield Sheet("Matched", ITEMS, rows if agrees else (), zone=day.zone)
    _, rows = next(parts, (False, iter(()))) if agrees else (False, rows)
    yield Sheet("Differences", ITEMS, rows, zone=day.zone)
    yield Sheet("Parameters", _PARAMETERS, _parameters(told, manifest, now), totals=False)


def _parameters(told: Statement, manifest: str | None, now: datetime) -> Iterator[dict[str, str]]:
    day = told.day
    named = {
        "business day": day.name,
        "zone": day.zone,
        "start, included (UTC)": rfc3339(day.start),
        "end, excluded (UTC)": rfc3339(day.end),
        "manifest SHA-256": digest(manifest) if manifest else "not prepared",
        "made at (UTC)": rfc3339(now),
        **{f"not looked at, {number}": gap for number, gap in enumerate(told.gaps, start=1)},
        **{f"incomplete, {number}": fault for number, fault in enumerate(told.faults, start=1)},
    }
    return ({"name": name, "value": value} for name, value in named.items())
