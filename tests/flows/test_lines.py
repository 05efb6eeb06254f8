"""Files of things: one line at a time, and a bad one is a line with a fault."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from relay.errors import Unprocessable
from relay.flows.lines import LONGEST, Line, read_lines

NAMES = ("orderid", "amount", "owner")


def read(text: str | bytes, form: str) -> list[Line]:
    """All lines of a file."""
    raw = text if isinstance(text, bytes) else text.encode()
    return list(read_lines(io.BytesIO(raw), form, names=NAMES))


def test_json_lines_are_objects_of_texts() -> None:
    """Empty lines and empty members are left out; the last line needs no end."""
    found = read('\ufeff{"orderid": "1", "amount": null}\r\n\n{"orderid": "2", "owner": "", "amount": "3"}', "jsonl")
    assert found == [Line(1, {"orderid": "1"}), Line(3, {"orderid": "2", "amount": "3"})]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"amount": 3}', "'amount' must be a text"),
        ('{"amount": 0.1}', "'amount' must be a text"),
        ('{"amount": "3", "amount": "4"}', "names a member twice"),
        ('{"amount": "\\u0000"}', "holds NUL"),
        ('{"amount": "\\ud800"}', "holds NUL or what is not UTF-8"),
        (b'{"amount": "\xff"}', "holds NUL or what is not UTF-8"),
        ("[" * 20_000, "is nested"),
        ('{"amount": "' + "3" * LONGEST + '"}', "is longer than"),
        ('{"amount": "' + "三" * (LONGEST // 2) + '"}', "is longer than"),
    ],
)
def test_a_bad_line_of_json_is_the_only_one_lost(line: str | bytes, fault: str) -> None:
    """The lines before and after it are read."""
    raw = line if isinstance(line, bytes) else line.encode()
    first, bad, last = read(b'{"orderid": "1"}\n' + raw + b'\n{"orderid": "2"}\n', "jsonl")
    assert (first.fields, last.fields, bad.fields) == ({"orderid": "1"}, {"orderid": "2"}, {})
    assert bad.number == 2
    assert bad.fault.startswith(fault)


def test_csv_names_its_columns() -> None:
    """In any order, with quotes, and with the mark that spreadsheets put in front."""
    found = read('\ufeff"owner", orderid\r\n"a, b",1\r\n\r\n,2\r\n', "csv")
    assert found == [Line(2, {"owner": "a, b", "orderid": "1"}), Line(4, {"orderid": "2"})]


@pytest.mark.parametrize("line", ["1", "1,2,3,4", '"1"x,2', '"1,2', '1,"2', "\0,2", '"' + "3" * LONGEST * 3 + '",2'])
def test_a_bad_line_of_csv_is_the_only_one_lost(line: str) -> None:
    """The lines before and after it are read."""
    found = read(f"orderid,owner\n1,a\n{line}\n2,b\n", "csv")
    assert [one.fields for one in found if not one.fault] == [
        {"orderid": "1", "owner": "a"},
        {"orderid": "2", "owner": "b"},
    ]


def test_the_beginning_of_a_line_is_never_taken_for_the_line() -> None:
    """Where characters have several bytes, what was cut has fewer than LONGEST of them."""
    _, bad, last = read("orderid,owner\n1,a\n2," + "é" * LONGEST + "\n3,b\n", "csv")
    assert (bad.fields, bad.fault, last.fields) == (
        {},
        f"is longer than {LONGEST} bytes",
        {"orderid": "3", "owner": "b"},
    )


@pytest.mark.parametrize("header", ["orderid\rowner\r1", "", "orderid,colour", "orderid,orderid", "1,3.00"])
def test_a_header_without_sense_refuses_the_file(header: str) -> None:
    """Before anything of it is taken."""
    with pytest.raises(Unprocessable, match="orderid, amount, owner"):
        read(f"{header}\n1,2\n" if header else "", "csv")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_memory_does_not_grow_with_the_file(form: str) -> None:
    """A line that never ends costs no more than one that does."""
    raw = b"orderid\n" + b"x" * 20_000_000
    tracemalloc.start()
    for _ in read_lines(io.BytesIO(raw), form, names=NAMES):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
