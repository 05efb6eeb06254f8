"""`relay report export`: the orders of days, with what they must come to."""

from __future__ import annotations

import csv
import json
from hashlib import sha256
from pathlib import Path

from openpyxl.reader.excel import load_workbook
from sqlalchemy import Engine

from tests.cli.conftest import CommandLine
from tests.store.test_day_facts import stories


def test_orders_are_written_for_programs_and_spreadsheets(relay: CommandLine, engine: Engine, tmp_path: Path) -> None:
    """CSV and JSON of several days with the same rows, a workbook of one; what makes no sense writes nothing."""
    stories(engine)
    day, several = ("--day", "2026-11-23"), ("--from", "2026-11-22", "--to", "2026-11-24")
    out = tmp_path / "orders.csv"
    told = json.loads(relay("report", "export", *several, "--out", str(out)).output)
    assert told["sha256"] == sha256(out.read_bytes()).hexdigest()
    with out.open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {row["business_day"] for row in listed} == {"2026-11-22", "2026-11-23", "2026-11-24"}
    lines = tmp_path / "orders.jsonl"
    again = json.loads(relay("report", "export", *several, "--format", "json", "--out", str(lines)).output)
    assert (again["rows"], again["totals"]) == (told["rows"], told["totals"]) == (len(listed), told["totals"])
    assert json.loads(lines.read_text().splitlines()[0])["orderid"] == listed[0]["orderid"]
    book = tmp_path / "day.xlsx"
    relay("report", "export", *day, "--format", "xlsx", "--out", str(book))
    assert load_workbook(book)["Summary"]["A2"].value
    for wrong in (
        (),
        (*day, *several),
        ("--from", "2026-11-23"),
        ("--from", "2026-11-24", "--to", "2026-11-23"),
        (*several, "--format", "xlsx"),
    ):
        relay("report", "export", *wrong, "--out", str(tmp_path / "none"), code=2)
    assert not (tmp_path / "none").exists()
