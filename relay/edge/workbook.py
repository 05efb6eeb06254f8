"""Own how a workbook is written: XlsxWriter, some rows at a time, so that memory stays flat; text stays text, whatever it begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter

from relay.core.amounts import format_micros
from relay.core.exports import AT_ONCE, Column, Sheet, values_of
from relay.edge.worksheet import Page

# Nothing that a stranger wrote becomes a formula, a link or a number.
_PLAIN = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": False,
}
# Excel shows 1,048,576 rows, and a plain zip holds files of two gigabytes, which so many rows do not reach. What is more goes on, on the next sheet.
MOST_ROWS = 500_000
# A cell holds 15 digits: exact to six places below a billion USDT.
_MONEY = "#,##0.000000;[Red](#,##0.000000);-"
_AMOUNTS, _NOTHING = ("money", "exact"), Decimal("0.000000")
_SHAPES = {"money": "money", "exact": "money", "number": "number", "time": "time", "local": "time"}
# Excel counts days from here (ECMA-376, 18.17.4.1).
_EPOCH, _DAY = datetime(1899, 12, 30, tzinfo=UTC), timedelta(days=1)

Rows = Iterable[Mapping[Any, Any]]
Sums = dict[int, int | Decimal]


def write_workbook(path: Path, sheets: Iterable[Sheet], made_at: datetime, *, most_rows: int = MOST_ROWS) -> None:
    """Write the sheets to a file, one after the other; times in UTC, as Excel has no zones.

    A sheet of more than `most_rows` is continued on others of its name and a number, each with its totals.
    """
    # What is on its way is written to a place that is emptied also when a row cannot be read.
    with TemporaryDirectory() as place:
        book = xlsxwriter.Workbook(str(path), {**_PLAIN, "tmpdir": place})
        book.set_properties({"title": "Statement of a day", "created": made_at.astimezone(UTC).replace(tzinfo=None)})
        formats = {
            "head": book.add_format({"bold": True, "bottom": 1}),
            "total": book.add_format({"bold": True, "top": 1, "num_format": _MONEY}),
            "money": book.add_format({"num_format": _MONEY}),
            "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            "text": book.add_format({"num_format": "@"}),
            "number": book.add_format({"num_format": "0"}),
        }
        for sheet in sheets:
            for name, rows in _continued(sheet, most_rows):
                page: Any = book.add_worksheet(name, worksheet_class=Page)
                _write(page, sheet, rows, formats)
        book.close()


def _continued(sheet: Sheet, most_rows: int) -> Iterator[tuple[str, Rows]]:
    """Yield as many sheets as the rows need, one where there are none; each has to be written before the next is taken."""
    rows = iter(sheet.rows)
    for number in count(1):
        first = list(islice(rows, 1))
        if number > 1 and not first:
            return
        yield sheet.name if number == 1 else f"{sheet.name} {number}", chain(first, islice(rows, most_rows - 1))


def _write(page: Page, sheet: Sheet, rows: Rows, formats: Mapping[str, Any]) -> None:
    _head(page, sheet, formats)
    sums: Sums = {place: 0 for place, column in enumerate(sheet.columns) if column.kind in _AMOUNTS}
    waiting, following = iter(rows), 1
    while piece := list(islice(waiting, AT_ONCE)):
        columns = [values_of(column, piece, sheet.fixed) for column in sheet.columns]
        for place in sums:
            sums[place] += sum(map(Decimal, filter(None, columns[place])))
        cells = (_cells(page, at, these, sheet, formats) for at, these in zip(sheet.columns, columns, strict=True))
        following = page.write_columns(following, list(cells))
    if following > 1:
        page.autofilter(0, 0, following - 1, len(sheet.columns) - 1)
    if sheet.totals:
        _totals(page, sheet, sums, following - 1, formats)


def _head(page: Page, sheet: Sheet, formats: Mapping[str, Any]) -> None:
    page.freeze_panes(1, 0)
    page.set_landscape()
    page.repeat_rows(0)
    page.set_footer("&L&A&RPage &P of &N")
    for place, column in enumerate(sheet.columns):
        page.set_column(place, place, 20 if column.kind in _AMOUNTS else 24)
        page.write_string(0, place, column.name, formats["head"])


def _cells(
    page: Page, column: Column, values: Sequence[Any], sheet: Sheet, formats: Mapping[str, Any]
) -> Sequence[str]:
    """Return a cell for each value of a column: an amount, a number, a time as its clocks show it, or a text; none for what is absent."""
    spell, style = _speller(column.kind, ZoneInfo(sheet.zone)), page.style(formats[_SHAPES.get(column.kind, "text")])
    cell = page.text_cell if column.kind not in _SHAPES else page.number_cell
    # Most columns say a few things over and over: each is spelled once.
    told = {value: "" if value is None or value == "" else cell(spell(value), style) for value in set(values)}
    return [told[value] for value in values]


def _speller(kind: str, zone: ZoneInfo) -> Callable[[Any], str]:
    spellers: Mapping[str, Callable[[Any], str]] = {
        "money": format_micros,
        "exact": lambda told: f"{Decimal(told):.16G}",
        "time": lambda at: f"{(at - _EPOCH) / _DAY:.16G}",
        "local": lambda at: f"{(at.astimezone(zone).replace(tzinfo=UTC) - _EPOCH) / _DAY:.16G}",
        "number": str,
    }
    return spellers.get(kind, lambda value: str(value).replace("\0", ""))


def _totals(page: Page, sheet: Sheet, sums: Sums, last: int, formats: Mapping[str, Any]) -> None:
    """Formulas for who goes on calculating, and below them the same as text: exact, and the control total of every other export."""
    # A row that was left cannot be written to again.
    page.write_string(last + 1, 0, f"Total of {last} rows", formats["head"])
    told = {place: _in_usdt(sheet.columns[place].kind, one) for place, one in sums.items()}
    for place, total in told.items():
        letter = xlsxwriter.utility.xl_col_to_name(place)
        # Without rows the total stands where the first would be, and Excel warns of a cell that sums itself.
        formula = f"=SUM({letter}2:{letter}{last + 1})" if last else "=SUM(0)"
        page.write_formula(last + 1, place, formula, formats["total"], total)
    page.write_string(last + 2, 0, "Control total", formats["head"])
    for place, total in told.items():
        page.write_string(last + 2, place, f"{total:f}", formats["text"])


def _in_usdt(kind: str, total: int | Decimal) -> Decimal:
    return Decimal(total).scaleb(-6) if kind == "money" else _NOTHING + total
