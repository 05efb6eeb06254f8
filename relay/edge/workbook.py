"""Own how a workbook is written: XlsxWriter, row by row, so that memory stays flat; text stays text, whatever it begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter

from relay.core.exports import Sheet

# Nothing that a stranger wrote becomes a formula, a link or a number.
_PLAIN = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": False,
}
# A cell holds 15 digits: exact to six places below a billion USDT.
_MONEY = "#,##0.000000;[Red](#,##0.000000);-"
_LONGEST = 32_767
_AMOUNTS, _NOTHING = ("money", "exact"), Decimal("0.000000")
_SHAPES = {"money": "money", "exact": "money", "number": "number", "time": "time", "local": "time"}


def write_workbook(path: Path, sheets: Iterable[Sheet], made_at: datetime) -> None:
    """Write the sheets to a file, one after the other; times in UTC, as Excel has no zones."""
    book = xlsxwriter.Workbook(str(path), _PLAIN)
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
        _write(book.add_worksheet(sheet.name), sheet, formats)
    book.close()


def _write(page: Any, sheet: Sheet, formats: Mapping[str, Any]) -> None:
    page.freeze_panes(1, 0)
    page.set_landscape()
    page.repeat_rows(0)
    page.set_footer("&L&A&RPage &P of &N")
    for place, column in enumerate(sheet.columns):
        page.set_column(place, place, 20 if column.kind in _AMOUNTS else 24)
        page.write_string(0, place, column.name, formats["head"])
    writers = [_writer(page, place, column.kind, sheet.zone, formats) for place, column in enumerate(sheet.columns)]
    fields = [column.field for column in sheet.columns]
    sums: dict[int, int | Decimal] = {place: 0 for place, column in enumerate(sheet.columns) if column.kind in _AMOUNTS}
    last = 0
    for last, row in enumerate(sheet.rows, start=1):
        for place, (write, name) in enumerate(zip(writers, fields, strict=True)):
            value = row.get(name)
            if value is not None:
                write(last, value)
                if place in sums:
                    sums[place] += value if type(value) is int else Decimal(value)
    if last:
        page.autofilter(0, 0, last, len(sheet.columns) - 1)
    if sheet.totals:
        _totals(page, sheet, sums, last, formats)


def _writer(page: Any, place: int, kind: str, zone: str, formats: Mapping[str, Any]) -> Callable[[int, Any], None]:
    """Return what writes a value into a column: a number, a time as the clocks of the column show it, or a text."""
    shape = formats[_SHAPES.get(kind, "text")]
    clocks = {"time": UTC, "local": ZoneInfo(zone)}.get(kind)
    if kind == "money":
        return lambda row, value: page.write_number(row, place, Decimal(value).scaleb(-6), shape)
    if kind in ("exact", "number"):
        return lambda row, value: page.write_number(row, place, Decimal(value), shape)
    if clocks is not None:
        return lambda row, value: page.write_datetime(row, place, value.astimezone(clocks).replace(tzinfo=None), shape)
    return lambda row, value: page.write_string(row, place, str(value).replace("\0", "")[:_LONGEST], shape)


def _totals(page: Any, sheet: Sheet, sums: Mapping[int, int | Decimal], last: int, formats: Mapping[str, Any]) -> None:
    """Formulas for who goes on calculating, and below them the same as text: exact, and the control total of every other export."""
    # A row that was left cannot be written to again.
    page.write_string(last + 1, 0, f"Total of {last} rows", formats["head"])
    told = {place: _in_usdt(sheet.columns[place].kind, one) for place, one in sums.items()}
    for place, total in told.items():
        letter = xlsxwriter.utility.xl_col_to_name(place)
        formula = f"=SUM({letter}2:{letter}{max(last + 1, 2)})"
        page.write_formula(last + 1, place, formula, formats["total"], total)
    page.write_string(last + 2, 0, "Control total", formats["head"])
    for place, total in told.items():
        page.write_string(last + 2, place, f"{total:f}", formats["text"])


def _in_usdt(kind: str, total: int | Decimal) -> Decimal:
    return Decimal(total).scaleb(-6) if kind == "money" else _NOTHING + total
