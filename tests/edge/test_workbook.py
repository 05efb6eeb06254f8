"""A workbook holds as many rows as there are, and its numbers and times are those that were given."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from openpyxl.reader.excel import load_workbook

from relay.core.exports import Column, Sheet
from relay.edge.workbook import write_workbook
from tests.builders import NOON

COLUMNS = (
    Column("business_day", "day"),
    Column("id", "id"),
    Column("amount", "micros", "money"),
    Column("seen_utc", "at", "time"),
    Column("seen_local", "at", "local"),
)


def test_more_rows_than_a_sheet_takes_go_on_on_the_next(tmp_path: Path) -> None:
    """None is lost, and each sheet has its heads and its totals; one without rows stands there too."""
    rows: list[dict[str, Any]] = [
        {"id": f"sh-{number}", "micros": 999_999_999_000_000 + number, "at": NOON + timedelta(milliseconds=number)}
        for number in range(5)
    ]
    sheets = [
        Sheet("Matched", COLUMNS, rows, {"day": "2026-11-23"}, zone="Asia/Hong_Kong"),
        Sheet("Empty", COLUMNS, ()),
    ]
    write_workbook(tmp_path / "book.xlsx", sheets, NOON, most_rows=2)
    book = load_workbook(tmp_path / "book.xlsx", data_only=True)
    assert book.sheetnames == ["Matched", "Matched 2", "Matched 3", "Empty"]
    read = [row for name in book.sheetnames[:3] for row in book[name].iter_rows(min_row=2, values_only=True)]
    assert [row for row in read if row[0] == "2026-11-23"] == [
        ("2026-11-23", row["id"], row["micros"] / 1_000_000, *seen(row["at"])) for row in rows
    ]
    assert [row[2] for row in read if row[0] == "Control total"] == [
        "1999999998.000001",
        "1999999998.000005",
        "999999999.000004",
    ]
    assert book["Empty"]["A2"].value == "Total of 0 rows"


def test_no_total_sums_itself(tmp_path: Path) -> None:
    """Below the rows it stands outside of what it sums; where there are none, a spreadsheet would warn of a circle."""
    row = {"day": "2026-11-23", "id": "sh-1", "micros": 1, "at": NOON}
    write_workbook(tmp_path / "book.xlsx", [Sheet("One", COLUMNS, [row]), Sheet("None", COLUMNS, ())], NOON)
    book = load_workbook(tmp_path / "book.xlsx")
    assert (book["One"]["C3"].value, book["None"]["C2"].value) == ("=SUM(C2:C2)", "=SUM(0)")


def seen(at: datetime) -> tuple[datetime, datetime]:
    """What a cell shows of a moment: the clocks of UTC, and those of Hong Kong."""
    there = at.replace(tzinfo=None)
    return there, there + timedelta(hours=8)
