"""A generated month whose totals are known beforehand is met to the last unit on the page, in each file, by the API and in the manifest."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from openpyxl.reader.excel import load_workbook

from relay.bootstrap import Runtime, desk_of, now, sealer_of
from relay.core.actors import Actor
from relay.core.days import ONE, Calendar, Day
from relay.core.statement import AGES, REASONS
from relay.flows import close
from relay.store import holds, rows
from relay.store.engine import writing
from tests.rows import (
    a_break,
    a_credit,
    a_match,
    a_provider_fact,
    a_session,
    a_stored_order,
    a_stored_transfer,
    add,
    an_address,
)
from tests.store.test_day_facts import called
from tests.web.conftest import Caller, Visitor

Known = tuple[int, int]  # How many, and their micros.
NONE: Known = (0, 0)
DAYS = [Calendar().day(date(2026, 10, 1) + ONE * number) for number in range(31)]
STRANGE = (1, 7, 999_999, 1_000_001, 123_456_789_012)


def plus(one: Known, micros: int, count: int = 1) -> Known:
    return one[0] + count, one[1] + micros


@dataclass
class Books:
    """What the generator knows of one day, in whole micros, by addition alone."""

    paid: Known = NONE
    credited: Known = NONE
    whole: Known = NONE
    agreeing: Known = NONE
    recovered: Known = NONE
    received: Known = NONE
    matched: Known = NONE
    differing: dict[str, Known] = field(default_factory=lambda: defaultdict(lambda: NONE))
    gross: int = 0
    held: Known = NONE
    pending: dict[str, Known] = field(default_factory=lambda: defaultdict(lambda: NONE))
    breaks: dict[int, Known] = field(default_factory=lambda: defaultdict(lambda: NONE))

    def order(self, reason: str, paid: int | None, credited: int | None) -> None:
        """Book an order that the provider says was paid, or that was credited, or both."""
        self.paid = self.paid if paid is None else plus(self.paid, paid)
        self.credited = self.credited if credited is None else plus(self.credited, credited)
        self.whole = plus(self.whole, max(paid or 0, credited or 0))
        if reason == "agrees":
            self.agreeing = plus(self.agreeing, paid or 0)
            return
        apart = (paid or 0) - (credited or 0)
        self.differing[reason] = plus(self.differing[reason], -apart)
        self.gross += abs(apart)


class Generator:
    """Makes a month of orders, transfers, breaks and what waits; keeps the books of each day beside."""

    def __init__(self, runtime: Runtime, seed: int) -> None:
        self.engine, self.random = runtime.engine, random.Random(seed)
        self.books = {day.name: Books() for day in DAYS}
        self.number = 0
        self.address = an_address(self.engine, "0x" + "ab" * 20)

    def make(self) -> dict[str, Books]:
        """Fill the database; what is open or pending stands on the days that follow too."""
        for place, day in enumerate(DAYS):
            books = self.books[day.name]
            if place:
                before = self.books[DAYS[place - 1].name]
                books.held = before.held
                books.pending.update(before.pending)
                books.breaks.update(before.breaks)
            for kind in (self.agrees, self.held, self.lost, self.differs, self.straddles, self.silent, self.waits):
                for _ in range(self.random.randint(0, 2)):
                    kind(day, books)
            self.broken(day, books)
            self.stray(day, books)
        return self.books

    def agrees(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        recovered = self.random.random() < 0.3
        a_stored_order(self.engine, orderid, amount_micros=micros, credited_micros=micros, created_at=at)
        if recovered:
            told = {"namespace": "crossing", "source": "crossing", "evidence": "{}", "found_at": at, "applied_at": at}
            add(self.engine, rows.recoveries, orderid=orderid, amount_micros=micros, state="applied", **told)
            a_provider_fact(self.engine, orderid, amount_micros=micros, occurred_at=at, changed_at=at)
            books.recovered = plus(books.recovered, micros)
        else:
            called(self.engine, orderid, micros, at=at)
        self.credit(orderid, micros, at)
        self.transfer(orderid, micros, at)
        books.received, books.matched = plus(books.received, micros), plus(books.matched, micros)
        books.order("agrees", micros, micros)

    def held(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        state = {"state": "held", "held_reason": "above_limit", "credited_micros": 0}
        a_stored_order(self.engine, orderid, amount_micros=micros, created_at=at, **state)
        called(self.engine, orderid, micros, at=at)
        with writing(self.engine) as connection:
            holds.keep(connection, "crossing", orderid, owner="pat", note="looked into", now=at)
        books.held = plus(books.held, micros)
        books.order("held", micros, None)

    def lost(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        a_stored_order(self.engine, orderid, state="expired", credited_micros=0, created_at=at)
        a_provider_fact(self.engine, orderid, amount_micros=micros, occurred_at=at, changed_at=at)
        books.order("no_callback", micros, None)

    def differs(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        less = self.random.randint(1, micros)
        a_stored_order(self.engine, orderid, amount_micros=less, credited_micros=less, created_at=at)
        a_provider_fact(self.engine, orderid, amount_micros=micros, occurred_at=at, changed_at=at)
        self.credit(orderid, less, at)
        books.order("agrees" if less == micros else "amount_differs", micros, less)

    def straddles(self, day: Day, books: Books) -> None:
        orderid, micros, _ = self.some(day)
        at = day.end - timedelta(seconds=1)
        a_stored_order(self.engine, orderid, amount_micros=micros, credited_micros=micros, created_at=at)
        called(self.engine, orderid, micros, at=at)
        self.credit(orderid, micros, day.end)
        books.order("credited_other_day", micros, None)
        if (day.date + ONE).isoformat() in self.books:
            self.books[(day.date + ONE).isoformat()].order("paid_other_day", None, micros)

    def silent(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        a_stored_order(self.engine, orderid, amount_micros=micros, credited_micros=micros, created_at=at)
        self.credit(orderid, micros, at)
        books.order("no_word", None, micros)

    def waits(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        state = self.random.choice(("confirming", "pending"))
        a_stored_order(self.engine, orderid, state=state, amount_micros=micros, credited_micros=0, created_at=at)
        books.pending[state] = plus(books.pending[state], micros)

    def broken(self, day: Day, books: Books) -> None:
        orderid, micros, at = self.some(day)
        severity = self.random.randint(1, 4)
        said = {"owner": "pat", "note": "looked into"}
        a_break(self.engine, f"b{orderid}", severity=severity, amount_micros=micros, first_seen=at, **said)
        books.breaks[severity] = plus(books.breaks[severity], micros)

    def stray(self, day: Day, books: Books) -> None:
        _, micros, at = self.some(day)
        self.transfer(None, micros, at)
        books.received = plus(books.received, micros)

    def some(self, day: Day) -> tuple[str, int, datetime]:
        """A new order's number, an amount that is awkward to add, and a moment of the day."""
        self.number += 1
        micros = self.random.choice(STRANGE) + self.random.randint(0, 10**9)
        return f"sh-{self.number}", micros, day.start + timedelta(seconds=self.random.randint(0, 86_000))

    def credit(self, orderid: str, micros: int, at: datetime) -> None:
        self.number += 1
        a_credit(self.engine, self.number, orderid, micros, at=at)

    def transfer(self, orderid: str | None, micros: int, at: datetime) -> None:
        self.number += 1
        tx = a_stored_transfer(self.engine, self.number, self.address, amount_micros=micros, block_time=at)
        if orderid is not None:
            a_match(self.engine, tx, orderid)


class Tables(HTMLParser):
    """The rows of a page's tables, by the name of the region around them: the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.regions: dict[str, list[list[str]]] = defaultdict(list)
        self._region, self._inside = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """A region, a row or a cell begins."""
        told = dict(attributes)
        if told.get("role") == "region":
            self._region = str(told["aria-label"])
        if tag == "tr":
            self.regions[self._region].append([])
        self._inside = self._inside or tag in ("td", "th")
        if tag in ("td", "th"):
            self.regions[self._region][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """A cell ends."""
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        """Text counts inside a cell."""
        if self._inside:
            self.regions[self._region][-1][-1] += data

    def of(self, region: str) -> dict[str, list[str]]:
        """The rows of a region by their first cell."""
        return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in self.regions[region] if row}


def micros(spelled: object) -> int:
    """Read what a page or a file says of money: parentheses are a minus, a dash is zero."""
    text = str(spelled).replace(",", "")
    if text in ("-", ""):
        return 0
    sign = -1 if text.startswith("(") else 1
    return sign * int(Decimal(text.strip("()")).scaleb(6))


def count(spelled: object) -> int:
    return 0 if spelled in ("-", "", None) else int(str(spelled).replace(",", ""))


def known(spelled: Mapping[str, Any]) -> Known:
    """Read a count and its money, as API and manifest tell them."""
    return spelled["count"], micros(spelled["amount"])


def seen_on_page(text: str, books: Books) -> None:
    page = Tables(text)
    bridge = page.of("Bridge, provider to relay")
    told = {
        name: (count(cells[0]), micros(cells[1]))
        for name, cells in bridge.items()
        if len(cells) == 2 and cells[0].isdigit()
    }
    assert told.pop("Paid at the provider") == books.paid
    assert told.pop("Credited by the relay") == books.credited
    assert told.pop("Unexplained") == (0, 0)
    assert told == {REASONS[reason]: one for reason, one in books.differing.items()}
    severities = [page.of("Breaks")[name] for name in page.of("Breaks") if name.startswith("P")]
    assert [(count(one[0]), micros(one[1])) for one in severities] == [books.breaks.get(n, NONE) for n in (1, 2, 3, 4)]
    _, (_, *counts), (_, *sums) = page.regions["Age of open breaks"]
    assert (sum(map(count, counts)), sum(map(micros, sums))) == total(books.breaks.values())
    received, matched, unmatched, _ = page.of("Chain to orders")["ethereum"]
    assert (micros(received), micros(matched)) == (books.received[1], books.matched[1])
    assert micros(unmatched) == books.received[1] - books.matched[1]
    for state, (waiting, money) in books.pending.items():
        assert f"{waiting} {state}, {money // 10**6:,}.{money % 10**6:06d} USDT" in text
    for one in (books.whole, books.agreeing, books.recovered, books.held, total(books.breaks.values())):
        assert f"{one[1] // 10**6:,}.{one[1] % 10**6:06d}" in text


def total(parts: Any) -> Known:
    parts = list(parts)
    return sum(one[0] for one in parts), sum(one[1] for one in parts)


def figures_of(lines: Iterator[Mapping[str, Any]]) -> dict[tuple[str, str], Known]:
    """The figures of `statement.csv`, or of a workbook's first sheet."""
    return {(row["section"], row["what"]): (count(row["count"]), micros(row["usdt"] or 0)) for row in lines}


def seen_in_figures(told: Mapping[tuple[str, str], Known], books: Books) -> None:
    assert told["bridge", "Paid at the provider"] == books.paid
    assert told["bridge", "Credited by the relay"] == books.credited
    assert told["bridge", "Unexplained"] == (0, 0)
    assert told["bridge", "Gross difference"] == (0, books.gross)
    for reason, one in books.differing.items():
        assert told["bridge", REASONS[reason]] == one
    summary = {"Orders": books.whole, "Agreeing": books.agreeing, "Recovered by itself": books.recovered}
    summary |= {"Held": books.held, "Open breaks": total(books.breaks.values())}
    assert {name: told["summary", name] for name in summary} == summary
    by_severity = [one for (section, what), one in told.items() if section == "breaks" and what.startswith("P")]
    assert by_severity == [books.breaks.get(number, NONE) for number in (1, 2, 3, 4)]
    assert total(told["age of open breaks", name] for name, _ in AGES) == total(books.breaks.values())
    assert {state: told["pending", state] for state in books.pending} == books.pending
    assert told["chain ethereum", "Received"] == books.received
    assert told["chain ethereum", "Of known orders"] == books.matched


def seen_in_lists(lists: Mapping[str, Sequence[Mapping[str, Any]]], books: Books) -> None:
    """The lists of orders, of breaks and of what waits: their rows come to the same."""
    for column, one in (("provider_amount", books.paid), ("relay_amount", books.credited)):
        said = [micros(row[column]) for row in lists["orders"] if row[column] not in ("", None)]
        assert (len(said), sum(said)) == one
    for severity in (1, 2, 3, 4):
        mine = [row for row in lists["breaks"] if str(row["severity"]) == str(severity)]
        assert total((1, micros(row["amount"])) for row in mine) == books.breaks.get(severity, NONE)
    for state, one in books.pending.items():
        assert total((1, micros(row["amount"])) for row in lists["pending"] if row["state"] == state) == one


def seen_in_manifest(told: Mapping[str, Any], books: Books) -> None:
    assert known(told["bridge"]["provider"]) == books.paid
    assert known(told["bridge"]["relay"]) == books.credited
    lines = {reason: (one["count"], -micros(one["amount"])) for reason, one in told["bridge"]["lines"].items()}
    assert lines == books.differing
    assert micros(told["bridge"]["unexplained"]) == 0
    names = {"whole": books.whole, "agreeing": books.agreeing, "recovered": books.recovered, "held": books.held}
    assert {name: known(told["summary"][name]) for name in names} == names
    assert {name: known(one) for name, one in told["breaks"].items()} == {
        f"P{n}": one for n, one in books.breaks.items()
    }
    assert {state: known(one) for state, one in told["pending"].items()} == books.pending
    (chain,) = [one for one in told["chains"] if one["chain"] == "ethereum"]
    assert (known(chain["received"]), known(chain["matched"])) == (books.received, books.matched)


def listed(sheet: Any) -> list[Mapping[str, Any]]:
    """The rows of a sheet by the names in its head, without its totals."""
    names, *lines = [[cell.value for cell in row] for row in sheet.iter_rows()]
    ends = next((at for at, line in enumerate(lines) if str(line[0]).startswith("Total of ")), len(lines))
    return [dict(zip(names, line, strict=True)) for line in lines[:ends]]


@pytest.fixture
def pat(runtime: Runtime, app: OpenAPI) -> Visitor:
    """A preparer's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "pat", "preparer"))


def test_every_day_of_the_month_on_every_surface(runtime: Runtime, pat: Visitor, admin: Caller) -> None:
    """And when all are sealed, the month's page comes to their sum."""
    books = Generator(runtime, seed=20_261_001).make()
    for day in DAYS:
        path, mine = f"/finance/{day.name}", books[day.name]
        seen_on_page(pat.read(path), mine)
        files = {
            name: list(csv.DictReader(io.StringIO(pat.get(f"{path}/{name}.csv").text, newline="")))
            for name in ("statement", "orders", "breaks", "pending")
        }
        seen_in_figures(figures_of(iter(files["statement"])), mine)
        seen_in_lists(files, mine)
        book = load_workbook(io.BytesIO(pat.get(f"{path}/statement.xlsx").data))
        seen_in_figures(figures_of(iter(listed(book["Summary"]))), mine)
        orders = listed(book["Matched"]) + listed(book["Differences"])
        seen_in_lists({"orders": orders, "breaks": listed(book["Breaks"]), "pending": listed(book["Pending"])}, mine)
        seen_in_manifest(admin.get(f"/v1/reconciliation/days/{day.name}")["figures"], mine)
        seen_in_manifest(pat.get(f"{path}/manifest.json").get_json(), mine)
    sealed(runtime)
    _, *figures = Tables(pat.read("/finance/2026-10")).regions["From opening to closing"][1]
    opening, paid, credited, closing, left = map(micros, figures)
    assert (paid, -credited) == (
        total(one.paid for one in books.values())[1],
        total(one.credited for one in books.values())[1],
    )
    assert (opening, closing, left) == (0, paid + credited, 0)


def sealed(runtime: Runtime) -> None:
    """Close every day, one after the other, by two persons."""
    desk, sealer = desk_of(runtime), sealer_of(runtime)
    one, other = (Actor(id=f"user:{name}", name=name, roles=frozenset()) for name in ("pat", "al"))
    for day in DAYS:
        close.prepare(desk, day, actor=one, now=now())
        with writing(runtime.engine) as connection:
            row = connection.execute(rows.day_closes.select().where(rows.day_closes.c.day == day.name)).mappings().one()
        urgent = {item["id"] for item in json.loads(row["manifest"])["open"] if item["severity"] == 1}
        told = {"manifest_hash": row["manifest_hash"], "accepted": urgent, "sign": sealer.sign, "key_id": sealer.id}
        close.approve(desk, day, **told, actor=other, now=now())


def test_each_age_on_every_surface(runtime: Runtime, pat: Visitor, admin: Caller) -> None:
    """One break in the midst of each bucket, twice the money of the one before; the present day shows them all."""
    moment = datetime.now(UTC)
    bounds = [age for _, age in AGES] + [timedelta(days=90)]
    expected = {name: (1, 3**place) for place, (name, _) in enumerate(AGES)}
    for place, (name, _) in enumerate(AGES):
        middle = moment - (bounds[place] + bounds[place + 1]) / 2
        a_break(runtime.engine, name, amount_micros=3**place, first_seen=middle)
    path = f"/finance/{moment.date().isoformat()}"
    columns = list(zip(*Tables(pat.read(path)).regions["Age of open breaks"], strict=True))[1:]
    assert {name: (count(one), micros(other)) for name, one, other in columns} == expected
    lines = csv.DictReader(io.StringIO(pat.get(f"{path}/statement.csv").text, newline=""))
    sheet = listed(load_workbook(io.BytesIO(pat.get(f"{path}/statement.xlsx").data))["Summary"])
    for told in (figures_of(iter(lines)), figures_of(iter(sheet))):
        assert {name: told["age of open breaks", name] for name in expected} == expected
    ages = admin.get(f"/v1/reconciliation/days/{moment.date().isoformat()}")["ages"]
    assert {name: known(one) for name, one in ages.items()} == expected
