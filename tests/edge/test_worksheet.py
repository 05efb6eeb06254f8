"""Rows that are written in columns are those that XlsxWriter writes cell by cell, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import xlsxwriter
from openpyxl.reader.excel import load_workbook

from relay.edge.worksheet import Page

TEXTS = (
    "sh-1",
    "abc",
    " <b>&\"'",
    "a\nb\t",
    "_x0041_\x01\ufffe",
    "=1+1",
    "\u202eevil",
    "\U0001f600" * 20_000,
    "x" * 40_000,
)


def test_a_sheet_is_the_librarys_own_to_the_byte(tmp_path: Path) -> None:
    """Markup, spaces, what XML cannot hold, and what is longer than a cell; a gap is no cell."""
    ours, theirs = tmp_path / "ours.xlsx", tmp_path / "theirs.xlsx"
    write(ours, in_columns=True)
    write(theirs, in_columns=False)
    assert sheet_of(ours) == sheet_of(theirs)


def test_what_looks_like_markup_stays_text(tmp_path: Path) -> None:
    """The library takes it for its own: a stranger's text would break the book."""
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        page: Any = book.add_worksheet(worksheet_class=Page)
        style = page.style(book.add_format())
        page.write_columns(0, [[page.text_cell("<r>&<t>1</r>", style)]])
    assert load_workbook(path).active["A1"].value == "<r>&<t>1</r>"


def write(path: Path, *, in_columns: bool) -> None:
    """A head, a text and a number in each row, which every other row lacks, and a line below them."""
    numbers = ["-1.500000" if place % 2 else None for place in range(len(TEXTS))]
    with xlsxwriter.Workbook(path, {"constant_memory": True, "strings_to_formulas": False}) as book:
        page: Any = book.add_worksheet(worksheet_class=Page)
        text, number = book.add_format({"num_format": "@"}), book.add_format({"num_format": "0.0"})
        page.write_string(0, 0, "head", text)
        if in_columns:
            styles = page.style(text), page.style(number)
            told = [page.text_cell(one, styles[0]) for one in TEXTS]
            page.write_columns(1, [told, [page.number_cell(one, styles[1]) if one else "" for one in numbers]])
        else:
            for row, (one, other) in enumerate(zip(TEXTS, numbers, strict=True), start=1):
                page.write_string(row, 0, one, text)
                if other:
                    page.write_number(row, 1, float(other), number)
        page.write_string(len(TEXTS) + 1, 0, "total", text)


def sheet_of(path: Path) -> bytes:
    """The rows as the file holds them; a number that ends in zeros is the same without them."""
    with ZipFile(path) as book:
        return book.read("xl/worksheets/sheet1.xml").replace(b"-1.500000", b"-1.5")
