"""Files of a day: names that stay, numbers that stay numbers, and text that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from hashlib import sha256

import pytest

from relay.core.exports import BREAKS, ITEMS, TRANSFERS, Column, Control, csv_of, defused
from tests.builders import NOON

COLUMNS = (
    Column("id", "id"),
    Column("amount", "micros", "money"),
    Column("seen_utc", "at", "time"),
    Column("seen_local", "at", "local"),
)


def written(*rows, zone="Asia/Hong_Kong"):
    control = Control()
    return b"".join(csv_of(COLUMNS, rows, zone=zone, control=control)), control.told()


def test_a_file_is_read_by_any_reader_and_told_by_its_control() -> None:
    """RFC 4180; sums of money to the last place, and the SHA-256 of the very bytes."""
    data, told = written(
        {"id": 'a "b",\r\nc', "micros": -1_500_000, "at": NOON}, {"id": None, "micros": None, "at": None}
    )
    assert list(csv.DictReader(io.StringIO(data.decode(), newline=""))) == [
        {
            "id": 'a "b",\r\nc',
            "amount": "-1.500000",
            "seen_utc": "2026-11-23T12:00:00.000+00:00",
            "seen_local": "2026-11-23T20:00:00.000+08:00",
        },
        {"id": "", "amount": "", "seen_utc": "", "seen_local": ""},
    ]
    assert data.startswith(b'"id","amount","seen_utc","seen_local"\r\n')
    assert told == {
        "rows": 2,
        "totals": {"amount": "-1.500000"},
        "bytes": len(data),
        "sha256": sha256(data).hexdigest(),
    }


@pytest.mark.parametrize("text", ["x;=1+1;y", 'x;"=1+1', "x\t@y", "x\n=1", "; -1", "=1;=1"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_separator_lets_a_formula_begin(text: str, separator: str) -> None:
    """A spreadsheet in German separates by semicolons, and reads our commas and quotes as text."""
    written = b"".join(
        csv_of([Column(name, name) for name in "ab"], [{"a": "1", "b": text}], zone="UTC", control=Control())
    )
    lines = csv.reader(io.StringIO(written.decode(), newline=""), delimiter=separator)
    assert not [cell for line in lines for cell in line if cell.lstrip().startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "  =cmd|' /C calc'!A0"])
def test_what_a_spreadsheet_would_run_is_defused(text: str) -> None:
    """By an apostrophe in front, in text alone: a negative amount stays a number."""
    assert defused(text) == f"'{text}"
    assert defused("sh-1=2") == "sh-1=2"
    assert defused("a\0b") == "ab"


def test_what_no_file_can_hold_is_replaced() -> None:
    """A lone surrogate in a stranger's text ends no export."""
    data, _ = written({"id": "\ud800", "micros": 0, "at": NOON})
    assert b'"?"' in data


def test_the_names_of_columns_only_grow() -> None:
    """Whoever reads by name goes on reading: these were there from the first."""
    first = {
        ITEMS: "business_day namespace orderid reason provider_amount relay_amount chain_amount difference tx_hash relay_time_utc",
        BREAKS: "business_day break_id class severity state orderid amount owner note first_seen_utc resolved_by",
        TRANSFERS: "chain tx_hash log_index block_number block_hash contract sender recipient amount rest orderid",
    }
    for columns, names in first.items():
        assert set(names.split()) <= {column.name for column in columns}
