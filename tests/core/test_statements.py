"""What a statement's rows mean, and when its totals do not hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from relay.core.callbacks import Status
from relay.core.facts import ProviderFact, merged
from relay.core.sections import Section
from relay.core.statements import StatementMap, Totals, disagreements, missing_columns, parse_statement, read_row
from tests.core.calling import a_called_source
from tests.core.examples import preset

TABLE = {
    "columns": {"orderid": "Order", "amount": "Sum", "status": "State", "occurred_at": "At", "tx_hash": "Hash"},
    "statuses": {"paid": "succeeded"},
    "amount": {"form": "decimal", "unit_micros": 1},
    "total_label": "TOTAL",
}
ROW = {"Order": "sh-1", "Sum": " 3.50 ", "State": "paid", "At": "2026-11-23T12:00:00+08:00", "Hash": "", "Note": "x"}


def parsed(**changes: Any) -> tuple[StatementMap, list[str]]:
    faults: list[str] = []
    table = {name: value for name, value in (TABLE | changes).items() if value is not None}
    return parse_statement(Section(table, "x.statement", faults), preset("crossingpay-v1")), faults


def read(totals: Totals | None = None, **changes: Any) -> ProviderFact | None:
    return read_row(parsed()[0], ROW | changes, totals or Totals(), source="crossing", namespace="ns")


def test_a_row_becomes_a_fact() -> None:
    """By the titles of its columns; the others are nobody's business."""
    assert read() == ProviderFact(
        source="crossing",
        namespace="ns",
        orderid="sh-1",
        via="statement",
        raw_status="paid",
        status=Status.SUCCEEDED,
        amount_micros=3_500_000,
        amount_raw="3.50",
        occurred_at=datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Sum": ""}, "Sum must be a plain decimal"),
        ({"Sum": "3,50"}, "Sum must be a plain decimal"),
        ({"Sum": "-1"}, "Sum must be a plain decimal"),
        ({"Order": " "}, "names no order"),
        ({"Order": "x" * 300}, "Order holds NUL or more than 256"),
        ({"Hash": "a\0"}, "Hash holds NUL"),
    ],
)
def test_a_bad_row_says_why(changes: dict[str, Any], reason: str) -> None:
    """By the column's own title, since the person looks at the file."""
    with pytest.raises(ValueError, match=reason):
        read(**changes)


def test_totals_are_counted_and_compared() -> None:
    """With what a person says, and with each line of totals in the file."""
    totals = Totals()
    for orderid in ("sh-1", "sh-2"):
        read(totals, Order=orderid)
    assert read(totals, Order="TOTAL", Sum="7") is None
    assert (totals.rows, totals.micros, totals.stated) == (2, 7_000_000, [7_000_000])
    assert disagreements(totals, rows=2, micros=7_000_000) == []
    assert disagreements(totals, rows=3, micros=7_000_001) == [
        "it has 2 orders, not 3",
        "its amounts come to 7.000000 USDT, not 7.000001",
    ]
    totals.stated.append(6_000_000)
    assert disagreements(totals, rows=None, micros=None) == ["its amounts come to 7.000000 USDT, not 6.000000"]


def test_a_file_with_other_columns_is_seen_by_its_first_line() -> None:
    """The titles that lack are named."""
    assert missing_columns(parsed()[0], ["Order", "Sum", "At"]) == ["State", "Hash"]


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"columns": {"orderid": "Order", "status": "State"}}, ["x.statement.columns.amount"]),
        ({"columns": TABLE["columns"] | {"user": "User"}}, ["x.statement.columns.user"]),  # type: ignore[operator]  # a dict it is
        ({"status": "succeeded"}, ["x.statement.status"]),
        ({"statuses": None}, ["x.statement.statuses"]),
        ({"statuses": {"paid": "won"}}, ["x.statement.statuses.paid"]),
        ({"delimiter": "-"}, ["x.statement.delimiter"]),
        ({"colums": {}}, ["x.statement.colums"]),
    ],
)
def test_a_faulty_map_is_named(changes: dict[str, Any], faults: list[str]) -> None:
    """At the start, by its key."""
    assert [fault.partition(":")[0] for fault in parsed(**changes)[1]] == faults


def test_a_provider_that_only_lists_paid_orders_needs_no_status() -> None:
    """The adapter's constant stands for it."""
    found, faults = parsed(columns={"orderid": "Order", "amount": "Sum"}, statuses=None)
    assert (faults, found.status) == ([], Status.SUCCEEDED)


def test_a_source_may_have_a_statement() -> None:
    """It is read with the source."""
    more = '[sources.crossing.statement]\ncolumns = { orderid = "a", amount = "b" }'
    found = a_called_source(more=more).statement
    assert found is not None
    assert found.columns == {"orderid": "a", "amount": "b"}


def fact(**changes: Any) -> ProviderFact:
    usual = {
        "source": "s",
        "namespace": "n",
        "orderid": "o",
        "via": "query",
        "raw_status": "1",
        "status": Status.PENDING,
    }
    return ProviderFact(**usual | changes)


@pytest.mark.parametrize(
    ("before", "heard", "known"),
    [
        (None, fact(), fact()),
        (fact(), fact(via="statement"), fact()),
        (fact(), fact(status=Status.SUCCEEDED), fact(status=Status.SUCCEEDED)),
        (fact(tx_hash="a"), fact(), fact(tx_hash="a")),
        (fact(tx_hash="a"), fact(tx_hash="b"), fact(tx_hash="b")),
        (fact(amount_micros=5, amount_raw="5"), fact(), fact(amount_micros=5, amount_raw="5")),
        (fact(amount_micros=5), fact(amount_micros=6), fact(amount_micros=6)),
        (fact(amount_micros=5), fact(status=Status.SUCCEEDED), fact(status=Status.SUCCEEDED)),
        (fact(amount_micros=5), fact(raw_status="2"), fact(raw_status="2")),
        (fact(amount_micros=5, via="statement"), fact(raw_status="2"), fact(raw_status="2", amount_micros=5)),
        (fact(status=Status.SUCCEEDED), fact(via="statement"), fact(status=Status.SUCCEEDED)),
        (fact(status=Status.SUCCEEDED), fact(status=Status.REFUNDED), fact(status=Status.REFUNDED)),
    ],
)
def test_a_newer_word_adds_and_replaces(before: ProviderFact | None, heard: ProviderFact, known: ProviderFact) -> None:
    """What it leaves out stays known, and an old list takes nothing back."""
    assert merged(before, heard) == known
