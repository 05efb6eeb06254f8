"""Own how a workbook is written: XlsxWriter, row by row, so that memory stays flat; text stays text, whatever it begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import xlsxwriter

from relay.core.amounts import format_micros
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
        page.set_column(place, place, 20 if column.kind == "money" else 24)
        page.write_string(0, place, column.name, formats["head"])
    sums, last = dict.fromkeys((column.name for column in sheet.columns if column.kind == "money"), 0), 0
    for last, row in enumerate(sheet.rows, start=1):
        for place, column in enumerate(sheet.columns):
            value = row.get(column.field)
            if value is not None:
                _cell(page, (last, place), column.kind, value, formats)
            if column.kind == "money":
                sums[column.name] += value or 0
    if last:
        page.autofilter(0, 0, last, len(sheet.columns) - 1)
    if sheet.totals:
        _totals(page, sheet, sums, last, formats)


def _cell(page: Any, where: tuple[int, int], kind: str, value: Any, formats: Mapping[str, Any]) -> None:
    match kind:
        case "money":
            page.write_number(*where, Decimal(value).scaleb(-6), formats["money"])
        case "number":
            page.write_number(*where, value, formats["number"])
        case "time" | "local":
            page.write_datetime(*where, value.astimezone(UTC).replace(tzinfo=None), formats["time"])
        case _:
            page.write_string(*where, str(value).replace("\0", "")[:_LONGEST], formats["text"])


def _totals(page: Any, sheet: Sheet, sums: Mapping[str, int], last: int, formats: Mapping[str, Any]) -> None:
    """Formulas for who goes on calculating, and below them the same as text: exact, and the control total of every other export."""
    money = [(place, column.name) for place, column in enumerate(sheet.columns) if column.kind == "money"]
    # A row that was left cannot be written to again.
    page.write_string(last + 1, 0, f"Total of {last} rows", formats["head"])
    for place, name in money:
        letter = xlsxwriter.utility.xl_col_to_name(place)
        formula = f"=SUM({letter}2:{letter}{max(last + 1, 2)})"
        page.write_formula(last + 1, place, formula, formats["total"], Decimal(sums[name]).scaleb(-6))
    page.write_string(last + 2, 0, "Control total", formats["head"])
    for place, name in money:
        page.write_string(last + 2, place, format_micros(sums[name]), formats["text"])
