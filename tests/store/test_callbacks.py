"""The requests that were refused, by kind, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from relay.store import callbacks
from relay.store.engine import make_engine, reading
from tests.builders import NOON
from tests.rows import a_stored_callback


def test_rejected_requests_are_counted_by_kind(database_url: str) -> None:
    """With how many senders, the newest and its moment; those that were accepted are no kind."""
    engine = make_engine(database_url)
    for number, sender in enumerate(("a", "b", "a"), start=1):
        a_stored_callback(engine, id=number, address_group=sender, received_at=NOON + timedelta(minutes=number))
    a_stored_callback(engine, id=4, reason=None, source="nowhere", address_group=None)
    a_stored_callback(engine, id=5, verdict="accepted", reason=None)
    with reading(engine) as connection:
        found = callbacks.rejected_kinds(connection, most=10)
        newest = callbacks.these(connection, [row["newest"] for row in found])
    told: list[Any] = [tuple(row.values()) for row in found]
    assert told == [
        ("nowhere", None, 1, 0, 4, NOON),
        ("crossing", "bad_signature", 3, 2, 3, NOON + timedelta(minutes=3)),
    ]
    assert sorted(row["id"] for row in newest) == [3, 4]
    engine.dispose()
