"""Counts that are watched are told the same to everybody who asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from relay.store import figures
from relay.store.engine import reading
from tests.builders import NOON
from tests.rows import a_stored_callback


def test_two_who_scrape_at_once_count_nothing_twice(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has settled is added once; a count that were doubled would stay so."""
    for number in range(3):
        a_stored_callback(engine, orderid=f"sh-{number}", signature=str(number))
    counted, together, later = figures._by_verdict, threading.Barrier(2), NOON + timedelta(hours=1)

    def met(*given: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            together.wait(0.5)
        return counted(*given)

    monkeypatch.setattr(figures, "_by_verdict", met)
    verdicts = figures.VerdictCount()

    def scraped(_: int) -> Any:
        with reading(engine) as connection:
            return verdicts.read(connection, now=later)

    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(scraped, range(2)))
    assert [*told, scraped(0)] == [{("rejected", "bad_signature"): 3}] * 3
