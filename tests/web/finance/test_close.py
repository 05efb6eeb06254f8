"""A day from open to sealed, as two browsers do it; and the same totals on every surface."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from openpyxl.reader.excel import load_workbook

from relay.bootstrap import Runtime, desk_of, now
from relay.edge.workbook import write_workbook
from relay.flows import workbook
from relay.flows.retention import retain
from relay.store import file_parts, workbooks
from relay.store.engine import reading
from tests.rows import a_break, a_credit, a_session, a_stored_order
from tests.store.test_day_facts import called, stories
from tests.web.conftest import Caller, Visitor

PATH = "/finance/2026-11-23"


@pytest.fixture
def pat(runtime: Runtime, app: OpenAPI) -> Visitor:
    """A preparer's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "pat", "preparer", "approver"))


@pytest.fixture
def al(runtime: Runtime, app: OpenAPI) -> Visitor:
    """An approver's browser."""
    return Visitor(app.test_client(), a_session(runtime.engine, "al", "approver"))


def hash_on(text: str) -> str:
    return text.split('name="manifest" value="')[1].split('"', maxsplit=1)[0]


def test_a_day_is_closed_by_two_browsers(runtime: Runtime, pat: Visitor, al: Visitor) -> None:
    """Prepared, refused to the same person, approved by the other, handed out, opened again."""
    a_stored_order(runtime.engine, "sh-1")
    called(runtime.engine, "sh-1", 3_000_000)
    a_credit(runtime.engine, 1, "sh-1", 3_000_000)
    assert "Nothing stands in the way of the close." in pat.read(PATH)
    assert pat.post(f"{PATH}/prepare").location == f"{PATH}#close"
    assert "You have prepared this day" in pat.read(PATH)
    digest = hash_on(al.read(PATH))
    assert pat.post(f"{PATH}/approve", manifest=digest).status_code == 409
    assert pat.get(f"{PATH}/evidence.zip").status_code == 404
    assert al.post(f"{PATH}/approve", manifest=digest).status_code == 303
    text = pat.read(PATH)
    assert "Sealed." in text
    assert digest in text
    (key,) = pat.get("/.well-known/relay-seal-keys.json").get_json()["keys"]
    assert key["id"] in text
    archive = zipfile.ZipFile(io.BytesIO(pat.get(f"{PATH}/evidence.zip").data))
    assert archive.read("orders.csv") == pat.get(f"{PATH}/orders.csv").data
    assert pat.get(f"{PATH}/manifest.json").data == archive.read("manifest.json")
    assert "close.approve" in pat.read("/finance/audit")
    assert "is whole" in pat.read("/finance/audit", verify="1")
    following = pat.get(f"{PATH.replace('23', '24')}/manifest.json").get_json()
    assert (following["version"], following["previous"][:16]) == (1, digest[:16])
    pat.post(f"{PATH}/ask-reopen", reason="a late statement")
    assert "a late statement" in al.read(PATH)
    al.post(f"{PATH}/reopen")
    assert pat.get(f"{PATH}/manifest.json").get_json()["version"] == 2
    text = pat.read(PATH)
    assert "Evidence of version 1, reopened" in text
    assert pat.get(f"{PATH}/evidence.zip").status_code == 404
    assert pat.get(f"{PATH}/evidence.zip", version="1").status_code == 200


def test_an_approver_is_shown_each_decision_with_its_amount(runtime: Runtime, pat: Visitor, al: Visitor) -> None:
    """Who, what, on what, how much and why: of breaks that were accepted, and of orders that are held on."""
    a_break(runtime.engine, "b1", amount_micros=20_000_001)
    a_stored_order(
        runtime.engine, "sh-9", state="held", held_reason="above_limit", amount_micros=7_500_000, credited_micros=0
    )
    pat.post("/finance/breaks/b1/assign", owner="pat")
    pat.post("/finance/breaks/b1/note", note="they look into it")
    pat.post("/finance/orders/crossing/sh-9/take", owner="pat", note="the user proves it")
    pat.post(f"{PATH}/prepare")
    text = al.read(PATH)
    carried = text.split('aria-label="Carried on"')[1].split("</table>")[0]
    for words in ("amount mismatch", "they look into it", "held", "crossing/sh-9", "7.500000", "the user proves it"):
        assert words in carried, words
    decided = text.split("What people decided")[1].split("</table>")[0]
    for words in (
        "user:pat",
        "noted at a break",
        "amount mismatch",
        "20.000001",
        "they look into it",
        "took an order in hand",
        "7.500000",
    ):
        assert words in decided, words
    told = al.get(f"{PATH}/manifest.json").get_json()["decisions"]
    assert [(one["act"], one["amount"], one["reason"]) for one in told] == [
        ("break.assign", "20.000001", ""),
        ("break.note", "20.000001", "they look into it"),
        ("order.take", "7.500000", "the user proves it"),
    ]


def test_what_is_about_no_order_is_named(runtime: Runtime, pat: Visitor) -> None:
    """By its transaction or address on the day's page, and in columns of its own in the file."""
    spot = {
        "orderid": None,
        "namespace": None,
        "chain": "ethereum",
        "subject": f"0x{'7' * 64}/0",
        "tx_hash": "0x" + "7" * 64,
    }
    a_break(runtime.engine, "b1", kind="orphan_transfer", **spot)
    needed = pat.read(PATH).split('aria-label="Needs a person"')[1].split("</table>")[0]
    assert "0x77777777" in needed
    assert ">none<" not in needed
    (row,) = csv.DictReader(io.StringIO(pat.get(f"{PATH}/breaks.csv").text, newline=""))
    assert (row["orderid"], row["chain"], row["tx_hash"], row["subject"]) == (
        "",
        "ethereum",
        spot["tx_hash"],
        spot["subject"],
    )


def test_what_stands_in_the_way_is_told(runtime: Runtime, pat: Visitor) -> None:
    """On the page, and when one tries all the same."""
    stories(runtime.engine)
    a_break(runtime.engine, "b1")
    words = "mismatch of crossing/sh-b1 needs an owner, a reason"
    assert words in pat.read(PATH)
    refused = pat.post(f"{PATH}/prepare")
    assert (refused.status_code, words in refused.text) == (409, True)


def test_every_surface_has_the_same_totals(runtime: Runtime, pat: Visitor, admin: Caller) -> None:
    """Page, CSV, workbook, manifest and API, to the last unit; the workbook is read by another library than wrote it."""
    stories(runtime.engine)
    a_break(runtime.engine, "b1", note="=1+1", owner="pat", amount_micros=20_000_001)
    text = pat.read(PATH)
    manifest: dict[str, Any] = pat.get(f"{PATH}/manifest.json").get_json()
    answer = pat.get(f"{PATH}/orders.csv")
    listed = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    book = load_workbook(io.BytesIO(pat.get(f"{PATH}/statement.xlsx").data), data_only=True)
    formulas = load_workbook(io.BytesIO(pat.get(f"{PATH}/statement.xlsx").data))
    assert book.sheetnames == ["Summary", "Proof of cash", "Breaks", "Pending", "Matched", "Differences", "Parameters"]
    for column, expected in (("provider_amount", "86.000000"), ("relay_amount", "27.000000")):
        assert expected in text
        assert sum((Decimal(row[column] or 0) for row in listed), Decimal()) == Decimal(expected)
        assert manifest["files"]["orders.csv"]["totals"][column] == expected
        assert sum(control(book[name], column) for name in ("Matched", "Differences")) == Decimal(expected)
    assert manifest["bridge"]["provider"]["amount"] == "86.000000"
    assert admin.get("/v1/reconciliation/days/2026-11-23")["figures"]["bridge"] == manifest["bridge"]
    figures = {row[2].value: row[4].value for row in book["Summary"].iter_rows(min_row=2) if row[1].value == "bridge"}
    assert figures["Paid at the provider"] == 86
    assert figures["Held: a person decides"] == -20
    notes = [cell.value for row in formulas["Breaks"].iter_rows() for cell in row]
    assert "=1+1" in notes
    assert [cell.data_type for row in formulas["Breaks"].iter_rows() for cell in row if cell.value == "=1+1"] == ["s"]
    assert "'=1+1" in pat.get(f"{PATH}/breaks.csv").text
    assert control(book["Breaks"], "amount") == Decimal("20.000001")
    parameters = {name.value: value.value for name, value in book["Parameters"].iter_rows()}
    assert (parameters["close"], parameters["approved"], parameters["seal key"]) == ("open", "by nobody", "not sealed")


def test_many_breaks_make_a_workbook_large_too(runtime: Runtime, pat: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few orders the day has."""
    monkeypatch.setattr(workbook, "MOST_AT_ONCE", 1)
    for number in range(2):
        a_break(runtime.engine, f"b{number}")
    assert "/workbooks/" in pat.get(f"{PATH}/statement.xlsx").location


def control(sheet: Any, column: str) -> Decimal:
    """The control total of a column: text, exact; the formula above it comes to the same."""
    names = [cell.value for cell in sheet[1]]
    *_, summed, told = list(sheet.columns)[names.index(column)]
    assert Decimal(str(summed.value)) == Decimal(told.value)
    return Decimal(told.value)


def test_an_empty_day_can_be_taken_away_too(pat: Visitor) -> None:
    """Headers, no rows, and a workbook that opens."""
    assert pat.get(f"{PATH}/orders.csv").text.count("\r\n") == 1
    book = load_workbook(io.BytesIO(pat.get(f"{PATH}/statement.xlsx").data))
    assert book["Matched"]["A2"].value == "Total of 0 rows"
    assert pat.get(f"{PATH}/odd.csv").status_code == 404


def test_a_month_is_the_chain_of_its_closed_days(runtime: Runtime, pat: Visitor, al: Visitor) -> None:
    """Its sums are those of the manifests; an open day has none, which is not zero."""
    a_stored_order(runtime.engine, "sh-1")
    called(runtime.engine, "sh-1", 3_000_000)
    a_credit(runtime.engine, 1, "sh-1", 3_000_000)
    text = pat.read("/finance/2026-11")
    assert "2026-11: 0 of " in text
    assert "<svg" not in text
    pat.post(f"{PATH}/prepare")
    al.post(f"{PATH}/approve", manifest=hash_on(al.read(PATH)))
    text = pat.read("/finance/2026-11")
    assert "2026-11: 1 of " in text
    assert "3.000000 USDT credited on closed days." in text
    assert "does not follow" not in text
    assert "<svg" in text
    assert pat.get("/finance/2026-13").status_code == 404
    assert "No day of this month has begun." in pat.read("/finance/2999-12")


def test_a_day_for_programs(admin: Caller) -> None:
    """Also one on which nothing happened, with its times as everywhere; one that is none is not found."""
    run = admin.post("/v1/reconciliation/runs")["run"]
    told = admin.get("/v1/reconciliation/days/2026-11-20")
    assert (told["state"], told["version"], told["figures"]["bridge"]["lines"]) == ("open", None, {})
    assert (told["computed_at"], told["last_complete_run"]) == (None, run["last_checked"])
    assert admin("GET", "/v1/reconciliation/days/monday").status_code == 404


def test_a_large_workbook_is_made_by_a_job(runtime: Runtime, pat: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page waits, at an address that is kept for a day, and hands it out in parts; the job may come twice."""
    stories(runtime.engine)
    monkeypatch.setattr(workbook, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(file_parts, "PART", 2_000)
    where = pat.get(f"{PATH}/statement.xlsx").location
    export_id = where.rsplit("/", 1)[1]
    waiting = pat.get(where)
    assert "this page waits for it" in waiting.text
    assert waiting.headers["Refresh"] == "3"
    for _ in range(2):
        workbook.make_asked(desk_of(runtime), export_id, write=write_workbook, now=now())
    with reading(runtime.engine) as connection:
        assert len(list(workbooks.pieces(connection, export_id))) > 2
    book = load_workbook(io.BytesIO(pat.get(where).data), data_only=True)
    assert sum(control(book[name], "provider_amount") for name in ("Matched", "Differences")) == Decimal("86.000000")
    assert pat.get(f"{PATH}/workbooks/exp_none").status_code == 404
    retain(runtime.engine, now=now() + timedelta(days=2))
    with reading(runtime.engine) as connection:
        assert workbooks.find(connection, export_id) is None
        assert list(workbooks.pieces(connection, export_id)) == []
