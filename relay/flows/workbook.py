"""Own what stands on the sheets of a day's workbook: the same figures as its page, each from the same reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, RowMapping

from relay.core.days import Day, read_day
from relay.core.events import rfc3339
from relay.core.exports import BREAKS, CASH, FIGURES, ITEMS, PENDING, Column, Sheet
from relay.core.statement import Statement
from relay.core.statement_lines import Figure
from relay.flows import day_files
from relay.flows.close import Desk
from relay.flows.days import day_named, figures_of, statement_of
from relay.store import closes, day_facts, day_figures, runs, workbooks
from relay.store.engine import reading, snapshot, writing

# Above so many orders a workbook is made by a job, and its page waits for it.
MOST_AT_ONCE = 5_000

Write = Callable[[Path, Iterable[Sheet], datetime], None]

_PARAMETERS = (Column("name", "name"), Column("value", "value"))


def is_large(connection: Connection, day: Day) -> bool:
    """Tell whether the workbook of a day is one that takes long: by its orders, and by its breaks."""
    sums = (*day_facts.sums(connection, day), *day_figures.open_breaks(connection, day).values())
    return any(one.count > MOST_AT_ONCE for one in sums)


def write_day(desk: Desk, day: Day, path: Path, *, write: Write, now: datetime) -> None:
    """Write the workbook of a day to a file, all from one snapshot."""
    with snapshot(desk.engine) as connection:
        told = statement_of(connection, day, desk.sources, desk.chains, now=now)
        parameters = _parameters(told, closes.current(connection, day.name), runs.last(connection), now)
        listed = figures_of(connection, told, desk.calendar, now)
        write(path, _sheets(connection, told, listed, parameters=parameters), now)


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
            workbooks.keep(connection, export_id, path, now=now)


def _sheets(
    connection: Connection, told: Statement, listed: Iterable[Figure], *, parameters: Iterable[Mapping[str, str]]
) -> Iterator[Sheet]:
    day = told.day
    fixed = {"business_day": day.name}
    yield Sheet("Summary", FIGURES, listed, fixed, totals=False)
    yield Sheet("Proof of cash", CASH, day_files.cash_rows(connection, day), fixed)
    yield Sheet("Breaks", BREAKS, closes.breaks_of(connection, day), fixed)
    yield Sheet("Pending", PENDING, day_figures.pending_orders(connection, day), fixed)
    # What agrees and what differs are together every order of the day; both are read in one go, a sheet after the other.
    every = day_facts.items(connection, day, agreeing_first=True)
    parts = groupby(every, key=lambda row: row["reason"] == "agrees")
    agrees, rows = next(parts, (False, iter(())))
    yield Sheet("Matched", ITEMS, rows if agrees else (), fixed, zone=day.zone)
    _, rows = next(parts, (False, iter(()))) if agrees else (False, rows)
    yield Sheet("Differences", ITEMS, rows, fixed, zone=day.zone)
    yield Sheet("Parameters", _PARAMETERS, parameters, totals=False)


def _parameters(told: Statement, row: RowMapping | None, run: RowMapping | None, now: datetime) -> list[dict[str, str]]:
    """Return what the figures were made of: the day's bounds, where each witness stood, who signed, and what was not seen."""
    day = told.day
    named = {
        "business day": day.name,
        "zone": day.zone,
        "start, included (UTC)": rfc3339(day.start),
        "end, excluded (UTC)": rfc3339(day.end),
        **{
            f"{chain.chain}, to block": f"{chain.block} {chain.block_hash}"
            for chain in told.chains
            if chain.block is not None
        },
        "last run": "none" if run is None else f"{run['id']}, {run['state']}, {run['manifest_hash']}",
        "close": "open" if row is None else f"{row['state']}, version {row['version']}",
        "manifest SHA-256": "not prepared" if row is None else row["manifest_hash"],
        "prepared": _by(row, "prepared"),
        "approved": _by(row, "approved"),
        "seal key": "not sealed" if row is None or row["key_id"] is None else row["key_id"],
        "made at (UTC)": rfc3339(now),
        **{f"not looked at, {number}": gap for number, gap in enumerate(told.gaps, start=1)},
        **{f"incomplete, {number}": fault for number, fault in enumerate(told.faults, start=1)},
    }
    return [{"name": name, "value": value} for name, value in named.items()]


def _by(row: RowMapping | None, done: str) -> str:
    who = None if row is None else row[f"{done}_by"]
    return "by nobody" if row is None or who is None else f"by {who} at {rfc3339(row[f'{done}_at'])}"
