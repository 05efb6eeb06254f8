"""A provider's statement is imported as a whole, or not at all, as a person at a terminal does it."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from relay.flows.statements import import_statement
from relay.store import audit, rows
from relay.store.engine import reading
from tests.cli.conftest import CommandLine
from tests.core.calling import STATEMENT, sources_toml
from tests.flows.test_statements import an_importer

TITLES = ["Order No", "Serial", "Amount", "State", "Paid at", "Remark"]


@pytest.fixture
def relay(relay: CommandLine) -> CommandLine:
    """The command line of somebody whose source has a statement."""
    relay.environment = relay.environment | {"RELAY_SOURCES": sources_toml(more=STATEMENT)}
    return relay


def written(path: Path, lines: Iterable[Iterable[str]], titles: Iterable[str] = TITLES) -> str:
    """A file, as a spreadsheet writes it: with a mark at its beginning."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([titles, *lines])
    return str(path)


def line(number: int, amount: str = "3.5", state: str = "paid") -> list[str]:
    return [f"sh-{number}", f"cz-{number}", amount, state, "2026-11-23T12:00:00Z", "a, b"]


def facts(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        table = rows.provider_facts
        return list(connection.execute(select(table.c.orderid, table.c.status, table.c.via).order_by(table.c.orderid)))


def test_a_statement_is_imported(relay: CommandLine, engine: Engine, tmp_path: Path) -> None:
    """Each order is known by it, credited is none, and the act is in the audit."""
    file = written(tmp_path / "july.csv", [line(1), line(2, state="waiting"), ["TOTAL", "", "7", "", "", ""]])
    (said,) = relay.json("statement", "import", file, "--source", "crossing", "--count", "2", "--total", "7", "--json")
    assert said == {"rows": 2, "total_micros": 7_000_000, "new": 2, "changed": 0, "repeated": False}
    assert facts(engine) == [("sh-1", "succeeded", "statement"), ("sh-2", "pending", "statement")]
    with reading(engine) as connection:
        (act,) = audit.page(connection, after=None, limit=5).rows
        assert connection.scalar(select(func.count()).select_from(rows.orders)) == 0
    assert (act["act"], act["subject"]) == ("statement.import", "source:crossing")


def test_the_same_file_twice_is_one(relay: CommandLine, engine: Engine, tmp_path: Path) -> None:
    """By what is in it, whatever it is called; another file adds what is new."""
    first = written(tmp_path / "a.csv", [line(1)])
    relay("statement", "import", first, "--source", "crossing")
    (again,) = relay.json(
        "statement", "import", written(tmp_path / "b.csv", [line(1)]), "--source", "crossing", "--json"
    )
    assert again["repeated"]
    more = written(tmp_path / "c.csv", [line(1), line(2)])
    (said,) = relay.json("statement", "import", more, "--source", "crossing", "--json")
    assert (said["rows"], said["new"], len(facts(engine))) == (2, 1, 2)


@pytest.mark.parametrize(
    ("lines", "options", "told"),
    [
        ([line(1), line(2, amount="3,5")], [], ["line 3: Amount must be a plain decimal"]),
        ([line(1, amount=""), line(2), ["", "", "1", "", "", ""]], [], ["line 2: Amount", "line 4: names no order"]),
        ([line(1), line(1)], [], ["line 3: the order 'sh-1' was there before"]),
        ([line(1)], ["--count", "2"], ["it has 1 orders, not 2"]),
        ([line(1)], ["--total", "3.4"], ["its amounts come to 3.500000 USDT, not 3.400000"]),
        ([line(1), ["TOTAL", "", "9", "", "", ""]], [], ["its amounts come to 3.500000 USDT, not 9.000000"]),
        ([], [], ["it has no orders"]),
    ],
)
def test_one_wrong_thing_refuses_the_whole(  # noqa: PLR0917  # fixtures and one row of the table
    relay: CommandLine, engine: Engine, tmp_path: Path, lines: list[list[str]], options: list[str], told: list[str]
) -> None:
    """Every bad line is told with its reason, and nothing is kept."""
    done = relay("statement", "import", written(tmp_path / "a.csv", lines), "--source", "crossing", *options, code=1)
    said = done.stderr.splitlines()
    assert len(said) == len(told), said
    assert all(one.startswith(start) for one, start in zip(said, told, strict=True)), said
    assert facts(engine) == []


def test_another_kind_of_file_is_seen_at_once(relay: CommandLine, tmp_path: Path) -> None:
    """Other columns, other bytes, an open quote."""
    other = written(tmp_path / "a.csv", [["1", "2"]], titles=["Order No", "Amount"])
    done = relay("statement", "import", other, "--source", "crossing", code=1)
    assert "has no column 'State'" in done.stderr
    (tmp_path / "b.csv").write_bytes(",".join(TITLES).encode() + b"\nsh-1,\xff,1,paid,,\n")
    assert (
        "is not utf-8" in relay("statement", "import", str(tmp_path / "b.csv"), "--source", "crossing", code=1).stderr
    )
    (tmp_path / "c.csv").write_text(",".join(TITLES) + '\nsh-1,"open,1,paid,,\n')
    assert "line 2:" in relay("statement", "import", str(tmp_path / "c.csv"), "--source", "crossing", code=1).stderr


def test_a_source_without_a_map_says_what_to_write(relay: CommandLine, tmp_path: Path) -> None:
    """And one that does not exist is a wrong call."""
    file = written(tmp_path / "a.csv", [line(1)])
    relay.environment = relay.environment | {"RELAY_SOURCES": sources_toml()}
    assert "[sources.crossing.statement]" in relay("statement", "import", file, "--source", "crossing", code=2).stderr
    relay("statement", "import", file, "--source", "nowhere", code=2)
    relay("statement", "import", file, "--source", "crossing", "--total", "x", code=2)


def test_memory_stays_flat(engine: Engine) -> None:
    """Ten thousand lines take a few bytes each, not their texts."""
    text = io.StringIO()
    csv.writer(text).writerows([TITLES, *(line(number) for number in range(10_000))])
    stream = io.BytesIO(text.getvalue().encode())
    importer = an_importer(engine, STATEMENT)
    tracemalloc.start()
    try:
        done = import_statement(importer, stream, "crossing", rows=10_000, micros=35_000_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (done.rows, done.new) == (10_000, 10_000)
    assert peak < 4_000_000
