"""Own how a workbook is written: XlsxWriter, row by row, so that memory stays flat; text stays text, whatever it begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    sums, last = {column.name: _NOTHING for column in sheet.columns if column.kind in _AMOUNTS}, 0
    for last, row in enumerate(sheet.rows, start=1):
        for place, column in enumerate(sheet.columns):
            value = row.get(column.field)
            if value is not None:
                _cell(page, (last, place), column.kind, _there(column.kind, value, sheet.zone), formats)
            if column.kind in _AMOUNTS and value is not None:
                sums[column.name] += _amount(column.kind, value)
    if last:
        page.autofilter(0, 0, last, len(sheet.columns) - 1)
    if sheet.totals:
        _totals(page, sheet, sums, last, formats)


def _cell(page: Any, where: tuple[int, int], kind: str, value: Any, formats: Mapping[str, Any]) -> None:
    match kind:
        case "money" | "exact":
            page.write_number(*where, _amount(kind, value), formats["money"])
        case "number":
            page.write_number(*where, value, formats["number"])
        case "time" | "local":
            page.write_datetime(*where, value.replace(tzinfo=None), formats["time"])
        case _:
            page.write_string(*where, str(value).replace("\0", "")[:_LONGEST], formats["text"])


def _there(kind: str, value: Any, zone: str) -> Any:
    """Return a time as the clocks of its column show it, and anything else as it is."""
    zones = {"time": UTC, "local": ZoneInfo(zone)}
    return value.astimezone(zones[kind]) if kind in zones else value


def _amount(kind: str, value: Any) -> Decimal:
    return Decimal(value).scaleb(-6) if kind == "money" else Decimal(value)


def _totals(page: Any, sheet: Sheet, sums: Mapping[str, Decimal], last: int, formats: Mapping[str, Any]) -> None:
    """Formulas for who goes on calculating, and below them the same as text: exact, and the control total of every other export."""
    money = [(place, column.name) for place, column in enumerate(sheet.columns) if column.kind in _AMOUNTS]
    # A row that was left cannot be written to again.
    page.write_string(last + 1, 0, f"Total of {last} rows", formats["head"])
    for place, name in money:
        letter = xlsxwriter.utility.xl_col_to_name(place)
        formula = f"=SUM({letter}2:{letter}{max(last + 1, 2)})"
        page.write_formula(last + 1, place, formula, formats["total"], sums[name])
    page.write_string(last + 2, 0, "Control total", formats["head"])
    for place, name in money:
        page.write_string(last + 2, place, f"{sums[name]:f}", formats["text"])
