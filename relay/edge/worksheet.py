"""Own how many rows get into a worksheet: spelled column by column, into the file where XlsxWriter keeps the rows that it has written.

A cell at a time, XlsxWriter needs eight calls and six searches for it, nine tenths of the time of a workbook. What is
written here is what it would write itself, to the byte (tests/edge/test_worksheet.py), except that it takes a text
between <r> and </r> for markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

# Excel counts the characters of a cell as UTF-16 does.
_LONGEST = 32_767


class Page(Worksheet):
    """A worksheet of a workbook that keeps no rows in memory (`constant_memory`)."""

    fh: Any

    def style(self, shape: Any) -> str:
        """Return how a cell names its format."""
        return f' s="{shape._get_xf_index()}"'  # noqa: SLF001  # XlsxWriter numbers a format when its first cell is written

    def number_cell(self, spelled: str, style: str) -> str:
        """Return a cell of a number, but for its place; a number is given as its digits."""
        return f"{style}><v>{spelled}</v></c>"

    def text_cell(self, text: str, style: str) -> str:
        """Return a cell of a text, but for its place."""
        # Letters and digits alone need no escape.
        clean = text if text.isalnum() and len(text) <= _LONGEST // 2 else self._clean(text)
        space = "" if clean.strip() == clean else ' xml:space="preserve"'
        return f'{style} t="inlineStr"><is><t{space}>{clean}</t></is></c>'

    def write_columns(self, first: int, columns: Sequence[Sequence[str]]) -> int:
        """Write rows from the row `first` on, of which the cells are given column by column; return the next row. "" is no cell."""
        letters = [xl_col_to_name(place) for place in range(len(columns))]
        # What was written before comes before.
        self._write_single_row(first)
        number = first
        for number, cells in enumerate(zip(*columns, strict=True), start=first + 1):
            told = [f'<c r="{letter}{number}"{cell}' for letter, cell in zip(letters, cells, strict=True) if cell]
            self.fh.write(f'<row r="{number}">{"".join(told)}</row>')
        self._check_dimensions(number - 1, len(columns) - 1)
        self.previous_row = number
        return number

    def _clean(self, text: str) -> str:
        cut = text.encode("utf-16-le", "replace")[: 2 * _LONGEST].decode("utf-16-le", "ignore")
        clean = self._escape_control_characters(cut)  # type: ignore[no-untyped-call]  # XlsxWriter carries no types
        return str(self._escape_data(clean))  # type: ignore[no-untyped-call]  # as above
