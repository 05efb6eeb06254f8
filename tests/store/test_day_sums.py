"""The figures of a day are kept whoever else computes them at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from relay.core.days import Calendar
from relay.store import day_sums, trends
from relay.store.engine import reading, writing
from relay.store.rows import day_sums as sums
from relay.store.rows import day_trends
from tests.builders import NOON

DAY = Calendar().day(date(2026, 11, 23))


def keep_sums(connection: Connection, number: int) -> None:
    day_sums.keep(connection, DAY, str(number), now=NOON)


def keep_trend(connection: Connection, number: int) -> None:
    counts = ("paid_count", "paid_micros", "credited_count", "credited_micros", "recovered_count", "recovered_micros")
    trends.keep(connection, {**dict.fromkeys(counts, number), "day": DAY.name, "wait_s": None, "computed_at": NOON})


@pytest.mark.parametrize(
    ("keep", "column", "kept"),
    [(keep_sums, sums.c.figures, "2"), (keep_trend, day_trends.c.paid_count, 2)],
    ids=["sums", "trend"],
)
def test_of_two_who_computed_a_day_the_later_one_is_kept(
    engine: Engine, keep: Callable[[Connection, int], None], column: Any, kept: object
) -> None:
    """Two people who open the page of a large day get their answers, both of them."""

    def later() -> None:
        with writing(engine) as connection:
            keep(connection, 2)

    with ThreadPoolExecutor(1) as threads:
        with writing(engine) as connection:
            keep(connection, 1)
            waiting = threads.submit(later)
            # The other one has begun, and waits for what this one will commit.
            wait_for([waiting], timeout=0.3)
        waiting.result(timeout=10)
    with reading(engine) as connection:
        assert list(connection.scalars(select(column))) == [kept]
