"""Own `relay report`: the orders of days, for programs and spreadsheets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import click

from relay.bootstrap import desk_of, now
from relay.cli.close import DayType
from relay.cli.output import or_json, say
from relay.cli.shell import Shell, pass_shell
from relay.core.days import ONE, Day, read_day
from relay.core.exports import ITEMS, Control, csv_of, spelled
from relay.edge.workbook import write_workbook
from relay.flows.days import day_named
from relay.flows.workbook import write_day
from relay.store import day_facts
from relay.store.engine import reading, snapshot


@click.group()
def report() -> None:
    """The orders of days, for programs and spreadsheets."""


@report.command()
@click.option("--day", type=DayType(), help="One day, such as 2026-11-23.")
@click.option("--from", "first", type=DayType(), help="The first of several days.")
@click.option("--to", "last", type=DayType(), help="The last of them.")
@click.option("--format", "kind", type=click.Choice(["csv", "xlsx", "json"]), default="csv", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to write it.")
@or_json
@pass_shell
def export(shell: Shell, *, day: str | None, first: str | None, last: str | None, kind: str, out: Path) -> None:
    """Write the orders of a day, or of several; prints rows, control totals and SHA-256 of a CSV file.

    A workbook (xlsx) has one day, JSON one order a line.
    """
    start, end = _span(day, first, last)
    if kind == "xlsx":
        if start != end:
            raise click.UsageError("a workbook has one day: --day")
        write_day(desk_of(shell.runtime), _named(shell, start), out, write=write_workbook, now=now())
        say(str(out), file=str(out))
        return
    control = Control()
    days = [_named(shell, of) for of in _days(start, end)]
    zone = days[0].zone
    with out.open("wb") as file:
        rows = _items(shell, days)
        lines = csv_of(ITEMS, rows, zone=zone, control=control) if kind == "csv" else _json(rows, zone, control)
        for line in lines:
            file.write(line)
    click.echo(json.dumps({"file": str(out), **control.told()}))


def _span(day: str | None, first: str | None, last: str | None) -> tuple[date, date]:
    if (day is None) == (first is None or last is None) or (day is not None and (first or last)):
        raise click.UsageError("name --day, or --from and --to")
    start, end = read_day(day or first or ""), read_day(day or last or "")
    if start > end:
        raise click.UsageError("--from lies behind --to")
    return start, end


def _days(start: date, end: date) -> Iterator[date]:
    while start <= end:
        yield start
        start += ONE


def _named(shell: Shell, of: date) -> Day:
    with reading(shell.runtime.engine) as connection:
        return day_named(connection, desk_of(shell.runtime).calendar, of)


def _items(shell: Shell, days: list[Day]) -> Iterator[Mapping[Any, Any]]:
    for day in days:
        with snapshot(shell.runtime.engine) as connection:
            for row in day_facts.items(connection, day):
                yield {**row, "business_day": day.name}


def _json(rows: Iterator[Mapping[Any, Any]], zone: str, control: Control) -> Iterator[bytes]:
    """The same names and spellings as in CSV; absent is null."""
    for row in rows:
        control.add_rows(ITEMS, [[row.get(column.field)] for column in ITEMS])
        named = {column.name: spelled(column, row.get(column.field), zone) or None for column in ITEMS}
        yield control.add_bytes((json.dumps(named) + "\n").encode())
