"""Rows that travel as one parameter arrive as they left, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from relay.store.bulk import given, insert_rows, spell, with_ids
from relay.store.engine import make_engine, reading, together, writing
from relay.store.rows import callbacks, orders
from tests.builders import NOON

ROW = {
    **dict.fromkeys(column.name for column in callbacks.columns if column.name != "id"),
    "source": "crossing",
    "verdict": "rejected",
    "reason": "malformed",
    "part": "",
    "origin": "callback",
    "flags": "",
    "headers": "{}",
    "received_at": NOON,
}


def stored(engine: Engine, **values: Any) -> Any:
    """Insert one callback and read the named column back."""
    statement = insert_rows(callbacks)
    with writing(engine) as connection:
        together(connection, statement.asked(connection, [ROW | values]))
    with reading(engine) as connection:
        return connection.scalar(select(callbacks.c[next(iter(values))]))


@pytest.mark.parametrize(
    "body", [b"", b"orderid=sh-1", bytes(range(256)), b"\x00" * 70_000], ids=["empty", "text", "any", "large"]
)
def test_bytes_arrive_unchanged(engine: Engine, body: bytes) -> None:
    """What a provider sent is evidence to the last bit."""
    kept = stored(engine, body=body)
    assert isinstance(kept, bytes | memoryview)
    assert bytes(kept) == body


@pytest.mark.parametrize("text", ["", "a'b\"c", "100%", "{rows} :now", "七", "line\nbreak", "\\u0041"])
def test_texts_arrive_unchanged(engine: Engine, text: str) -> None:
    """No character of a value is ever read as SQL or as JSON."""
    assert stored(engine, user_ref=text) == text


@pytest.mark.parametrize("micros", [0, 1, -1, 10**15, 2**53 + 1, 2**63 - 1])
def test_amounts_arrive_to_the_last_unit(engine: Engine, micros: int) -> None:
    """Beyond what a float could hold, too."""
    assert stored(engine, amount_micros=micros) == micros


def test_times_arrive_in_utc_whatever_zone_they_were_spoken_in(engine: Engine) -> None:
    """Noon in Hong Kong is four in the morning."""
    hong_kong = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    assert stored(engine, occurred_at=hong_kong) == datetime(2026, 11, 23, 4, 0, 0, 123456, tzinfo=UTC)
    assert spell(hong_kong) == "2026-11-23 04:00:00.123456"


def test_no_rows_are_no_rows(engine: Engine) -> None:
    """An empty list is a table without rows, not an error."""
    listed = with_ids("SELECT id FROM {rows} AS g ORDER BY id")
    with reading(engine) as connection:
        assert together(connection, (listed.on(connection), given([])), (listed.on(connection), given([3, 1]))) == [
            [],
            [{"id": 1}, {"id": 3}],
        ]


def test_an_error_in_the_middle_takes_all_back_and_has_its_usual_name(engine: Engine) -> None:
    """What is sent together fails together."""
    statement = insert_rows(callbacks)
    with pytest.raises(DBAPIError), writing(engine) as connection:
        together(
            connection,
            statement.asked(connection, [ROW]),
            statement.asked(connection, [ROW | {"verdict": "unheard of"}]),
            statement.asked(connection, [ROW]),
        )
    with reading(engine) as connection:
        assert connection.execute(select(callbacks.c.id)).all() == []


def test_an_engine_behind_a_transaction_pooler_prepares_nothing(postgres_url: str) -> None:
    """Names of prepared statements would meet those of other clients on the same server connection."""
    marked = postgres_url + ("&" if "?" in postgres_url else "?") + "pooler=transaction"
    for url, expected in ((marked, 0), (postgres_url, 1)):
        engine = make_engine(url)
        with reading(engine) as connection:
            for _ in range(2):
                together(connection, (select(orders.c.id), {}))
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == expected
        engine.dispose()
