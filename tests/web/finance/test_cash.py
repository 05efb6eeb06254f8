"""The proof of cash: every row and column foots, a difference is printed though it is zero, and each surface has the same."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from flask_openapi3 import OpenAPI
from openpyxl.reader.excel import load_workbook

from relay.bootstrap import Runtime, desk_of
from relay.core.balances import Proof, Total
from relay.core.closing import CASH
from relay.core.days import Calendar
from relay.flows import close
from relay.store import day_proofs
from relay.store.engine import writing
from tests.builders import NOON
from tests.rows import a_credit, a_heartbeat, a_session, an_address
from tests.web.conftest import Caller, Visitor

DAY = Calendar().day(date(2026, 11, 23))
PATH = "/finance/2026-11-23"
TRON, ETHEREUM = "0x" + "a6" * 20, "0xdac17f958d2ee523a2206206994597c13d831ec7"
MINE = "0x" + "5e" * 20
BY_TRON = Total(
    chain="tron",
    contract=TRON,
    decimals=6,
    proved=3,
    opening=18_204_500_000,
    received=9_412_250_000,
    sent=8_000_000_000,
    measured=19_616_750_000,
    whys={"not_measured_yet": 2},
)
BY_ETHEREUM = replace(
    BY_TRON, chain="ethereum", contract=ETHEREUM, decimals=18, opening=0, received=3 * 10**18 + 1, sent=0, measured=3 * 10**18 + 1, whys={}
)  # fmt: skip


@pytest.fixture
def pat(runtime: Runtime, app: OpenAPI) -> Visitor:
    """A preparer's browser, on the day after."""
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    return Visitor(app.test_client(), a_session(runtime.engine, "pat", "preparer"))


def proven(runtime: Runtime, *totals: Total, gaps: tuple[Proof, ...] = ()) -> None:
    """Keep what the job would have computed."""
    with writing(runtime.engine) as connection:
        for total in totals:
            day_proofs.keep(connection, total.chain, DAY, [total], gaps, now=NOON)


def test_every_surface_has_the_same_proof(runtime: Runtime, pat: Visitor, admin: Caller) -> None:
    """Page, CSV, workbook, manifest and API, to the last unit of a token with eighteen places."""
    proven(runtime, BY_TRON, BY_ETHEREUM)
    text = pat.read(PATH)
    for words in (
        "18,204.500000",
        "(8,000.000000)",
        "19,616.750000",
        "3.000000000000000001",
        ">0.000000<",
        "2 not measured yet",
    ):
        assert words in text, words
    total = pat.get(f"{PATH}/manifest.json").get_json()["cash_total"]
    assert total["closing"] == total["measured"] == "19619.750000000000000001"
    assert (total["difference"], total["proved"], total["unprovable"]) == ("0.000000", 6, 2)
    figures = admin.get("/v1/reconciliation/days/2026-11-23")["figures"]
    assert (figures["cash_total"], len(figures["cash"])) == (total, 2)
    rows = list(csv.DictReader(io.StringIO(pat.get(f"{PATH}/cash.csv").text, newline="")))
    sheet = load_workbook(io.BytesIO(pat.get(f"{PATH}/statement.xlsx").data))["Proof of cash"]
    names = [cell.value for cell in sheet[1]]
    for name in CASH:
        assert sum((Decimal(row[name]) for row in rows), Decimal()) == Decimal(total[name])
        *_, formula, told = list(sheet.columns)[names.index(name)]
        assert str(formula.value).startswith("=SUM(")
        assert Decimal(told.value) == Decimal(total[name])


def test_where_nothing_was_measured_it_says_none(pat: Visitor) -> None:
    """Empty is not zero."""
    text = pat.read(PATH)
    assert "Nothing was measured yet: “none” is not zero." in text
    assert "not checked" in text


def test_a_month_goes_from_its_opening_to_its_closing(runtime: Runtime, pat: Visitor) -> None:
    """The proofs of its closed days, one after the other, and what is left over; a day without a proof leaves none."""
    a_credit(runtime.engine, 1, "sh-1", 3_000_000)
    proven(runtime, BY_TRON)
    close.prepare(desk_of(runtime), DAY, actor=None, now=DAY.end + timedelta(hours=1))
    row = pat.read("/finance/2026-11").split("On our own addresses")[1].split("</tr>")[0]
    figures = ["18,204.500000", "9,412.250000", "(8,000.000000)", "19,616.750000", "0.000000"]
    assert re.findall(r">([^<>]+)</td>", row) == figures
    after = desk_of(runtime).calendar.day(DAY.date + timedelta(days=1))
    close.prepare(desk_of(runtime), after, actor=None, now=after.end + timedelta(hours=1))
    assert pat.read("/finance/2026-11").split("On our own addresses")[1].split("</tr>")[0].count(">none<") == 5


def test_an_address_that_does_not_add_up_is_named(runtime: Runtime, pat: Visitor) -> None:
    """On the page with both figures, and in its first sentence; such a day is never prepared by the clock."""
    gap = Proof(
        chain="tron",
        contract=TRON,
        address=MINE,
        role="deposit",
        first_block=1,
        last_block=9,
        opening=0,
        received=3_000_000,
        measured=1_000_000,
    )
    proven(runtime, replace(BY_TRON, proved=2, gap=1, measured=BY_TRON.measured - 2_000_000), gaps=(gap,))
    text = pat.read(PATH)
    assert "does not agree: 1 address holds other money than the transfers say" in text
    assert text.count("(2.000000)") == 3  # its chain, the total, the address


def test_each_address_has_its_line(runtime: Runtime, pat: Visitor) -> None:
    """A page at a time; one is found in any spelling, and a word that is none is told so."""
    for number in range(3):
        an_address(runtime.engine, f"0x{number + 1:040x}", chain="ethereum")
    text = pat.read(f"{PATH}/cash")
    assert text.count("cut not found yet") == 3
    assert "Nothing of ours is called" in pat.read(f"{PATH}/cash", address="0x" + "9" * 40)
    assert pat.get(f"{PATH}/cash?address=odd").status_code == 422
