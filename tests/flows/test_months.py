"""A month is approved once: its sealed days, chained, from opening to closing; and the trend of its days is kept."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from relay.core.days import Calendar
from relay.errors import Conflict
from relay.flows import close, month_close, trend
from relay.flows.days import first_day
from relay.flows.months import month_of
from relay.store import audit, closes, rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.flows.test_close import AL, ON_SQLITE, PAT, SEALER, a_desk, a_paid_day, approved
from tests.rows import add
from tests.store.test_day_facts import called

LAST = NOON.replace(day=30)
DECEMBER = datetime(2026, 12, 2, 9, tzinfo=NOON.tzinfo)


def drafted(engine: Engine, name: str = "2026-11", now: datetime = DECEMBER) -> month_close.MonthDraft:
    with reading(engine) as connection:
        assert audit.verify(connection) is None
        first = first_day(connection, Calendar(), now)
        return month_close.draft(connection, month_of(connection, name, Calendar(), first, now), now.date())


def approve(engine: Engine, made: month_close.MonthDraft, now: datetime = DECEMBER, name: str = "2026-11") -> None:
    month_close.approve(
        a_desk(engine), name, manifest_hash=made.hash, sign=SEALER.sign, key_id=SEALER.id, actor=AL, now=now
    )


def sealed(engine: Engine, of: date) -> None:
    day, desk = Calendar().day(of), a_desk(engine)
    close.prepare(desk, day, actor=PAT, now=day.end + timedelta(hours=1))
    approved(desk, day, now=day.end + timedelta(hours=1))


@pytest.fixture
def november(engine: Engine) -> Engine:
    """Two days at the end of a month, the last with a payment that was not credited."""
    a_paid_day(engine, at=LAST - timedelta(days=1))
    a_paid_day(engine, at=LAST, orderid="sh-2", sequence=2)
    called(engine, "sh-3", 500_000, at=LAST)
    return engine


def test_a_month_is_approved_when_all_its_days_are_sealed(november: Engine) -> None:
    """And over; opening and what moved come to the closing; it is bound to what was read, and done once."""
    made = drafted(november, now=LAST)
    assert made.obstacles == ("the month is not over", "none of its days is sealed")
    sealed(november, date(2026, 11, 29))
    assert drafted(november).obstacles == ("2026-11-30 is not sealed",)
    with pytest.raises(Conflict, match="2026-11-30"):
        approve(november, drafted(november))
    sealed(november, date(2026, 11, 30))
    made = drafted(november)
    told = json.loads(made.manifest)
    assert (made.obstacles, made.is_approved) == ((), False)
    assert (told["opening"], told["provider"]["amount"], told["relay"]["amount"]) == (
        "0.000000",
        "6.500000",
        "6.000000",
    )
    assert (told["closing"], [day["day"] for day in told["days"]]) == ("0.500000", ["2026-11-29", "2026-11-30"])
    with pytest.raises(Conflict, match="read it again"):
        month_close.approve(
            a_desk(november), "2026-11", manifest_hash="0", sign=SEALER.sign, key_id="k", actor=AL, now=DECEMBER
        )
    approve(november, made)
    assert drafted(november).is_approved
    with pytest.raises(Conflict, match="is approved"):
        approve(november, made)


def test_the_next_month_opens_with_the_closing_of_this_one(november: Engine) -> None:
    """And cannot be approved before it."""
    for of in (date(2026, 11, 29), date(2026, 11, 30)):
        sealed(november, of)
    a_paid_day(november, at=NOON.replace(month=12, day=1), orderid="sh-4", sequence=90)
    sealed(november, date(2026, 12, 1))
    later = datetime(2027, 1, 2, tzinfo=NOON.tzinfo)
    assert "the month before is not approved" in drafted(november, "2026-12", later).obstacles
    approve(november, drafted(november))
    made = drafted(november, "2026-12", later)
    assert (made.opening, made.closing) == (500_000, 500_000)
    assert "the month before is not approved" not in made.obstacles
    assert json.loads(made.manifest)["previous"] == drafted(november).hash


@ON_SQLITE
def test_a_month_waits_for_its_first_day_that_is_open_again(november: Engine) -> None:
    """Though that is the first of the books: its figures would be in no month."""
    for of in (date(2026, 11, 29), date(2026, 11, 30)):
        sealed(november, of)
    desk, day = a_desk(november), Calendar().day(date(2026, 11, 29))
    close.ask_to_reopen(desk, day, "a late statement", actor=PAT, now=DECEMBER)
    close.reopen(desk, day, actor=AL, now=DECEMBER)
    assert "2026-11-29 is not sealed" in drafted(november).obstacles


@ON_SQLITE
def test_no_month_opens_with_the_closing_of_an_approval_that_is_old(november: Engine) -> None:
    """While a day of the month before is open again, and until that month is approved anew."""
    for of in (date(2026, 11, 29), date(2026, 11, 30)):
        sealed(november, of)
    approve(november, drafted(november))
    sealed(november, date(2026, 12, 1))
    desk, day, later = a_desk(november), Calendar().day(date(2026, 11, 30)), datetime(2027, 1, 2, tzinfo=NOON.tzinfo)
    close.ask_to_reopen(desk, day, "a late statement", actor=PAT, now=DECEMBER)
    close.reopen(desk, day, actor=AL, now=DECEMBER)
    old = "a day of the month before was opened again since that was approved; approve it anew"
    called(november, "sh-9", 250_000, at=LAST)
    assert old in drafted(november, "2026-12", later).obstacles
    sealed(november, date(2026, 11, 30))
    assert old in drafted(november, "2026-12", later).obstacles
    approve(november, drafted(november))
    made = drafted(november, "2026-12", later)
    assert (old in made.obstacles, made.opening) == (False, 750_000)


@ON_SQLITE
def test_a_day_that_is_sealed_anew_asks_for_another_approval(november: Engine) -> None:
    """The old one stays, and says of which days it spoke."""
    for of in (date(2026, 11, 29), date(2026, 11, 30)):
        sealed(november, of)
    approve(november, drafted(november))
    before = drafted(november).hash
    desk, day = a_desk(november), Calendar().day(date(2026, 11, 30))
    close.ask_to_reopen(desk, day, "a late statement", actor=PAT, now=DECEMBER)
    close.reopen(desk, day, actor=AL, now=DECEMBER)
    assert drafted(november).obstacles == ("2026-11-30 is not sealed",)
    called(november, "sh-9", 250_000, at=LAST)
    sealed(november, date(2026, 11, 30))
    made = drafted(november)
    assert (made.is_approved, made.hash == before, made.closing) == (False, False, 750_000)
    approve(november, made)
    with reading(november) as connection:
        row = closes.month_approval(connection, "2026-11")
    assert row is not None
    assert (row["version"], row["manifest_hash"]) == (2, made.hash)


def test_the_trend_keeps_a_day_s_figures(november: Engine) -> None:
    """Computed while a day may still change, a few at a time, and then left alone; what was recovered has its time to credit."""
    told = {"namespace": "crossing", "source": "crossing", "evidence": "{}", "found_at": LAST}
    for number, wait_s in enumerate((30, 50, 90)):
        applied = LAST + timedelta(seconds=wait_s)
        add(
            november,
            rows.recoveries,
            orderid=f"r{number}",
            state="applied",
            amount_micros=2_000_000,
            occurred_at=LAST,
            applied_at=applied,
            **told,
        )
    assert trend.refresh(november, Calendar(), now=DECEMBER) == 4
    with reading(november) as connection:
        lines = trend.trend(connection, Calendar(), now=DECEMBER)
    assert [line.name for line in lines] == ["2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02"]
    row = lines[1].row
    assert row is not None
    assert (row["paid_micros"], row["credited_micros"], row["credited_count"]) == (3_500_000, 3_000_000, 1)
    assert (row["recovered_count"], row["recovered_micros"], row["wait_s"]) == (3, 6_000_000, 50)
    assert trend.refresh(november, Calendar(), now=DECEMBER + timedelta(hours=1)) == 2
    late = DECEMBER + timedelta(days=40)
    assert trend.refresh(november, Calendar(), now=late) == trend.AT_A_TIME
    with reading(november) as connection:
        assert len(trend.trend(connection, Calendar(), now=late)) == trend.DAYS
