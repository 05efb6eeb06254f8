"""The reconciler under two clocks, a killed worker and a lost Redis in the middle of its work: it ends as if nothing had happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, func, insert, select

from relay.store.engine import make_engine, reading, writing
from relay.store.rows import breaks, dirty, dirty_work, events, match_states, orders, provider_facts, recoveries, runs
from tests.system import SOURCES, System, a_system, eventually

pytestmark = pytest.mark.faults

SUBSCRIBERS = ("wallet", "ledger", "billing")
LOST = 600
# The provider alone is asked here; what it said is in the database before anybody looks.
RECOVERING = f"""{SOURCES}
base_url = "http://127.0.0.1:9"
recover = "provider"
brake = {{ count = 100000, usdt = "1000000", window_s = 3600 }}

[sources.crossing.query]
path = "/order"
fields = {{ appid = "{{appid}}", orderid = "{{orderid}}" }}
signature = "sign"
amount = {{ form = "decimal", unit_micros = 1 }}
statuses = {{ "1" = "succeeded" }}

[sources.crossing.query.answers]
orderid = "orderid"
status = "status"
amount = "amount"
"""
CREDIT = {"type": "recharge.succeeded"}


class Book:
    """What the database says, to somebody who only looks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lose(self, count: int) -> None:
        """Orders that the provider calls paid, and whose callbacks never came."""
        moment = datetime.now(UTC) - timedelta(hours=1)
        named = [{"namespace": "crossing", "orderid": f"lost-{n:04d}", "source": "crossing"} for n in range(count)]
        order = {"state": "created", "version": 1, "credited_micros": 0, "registered": True, "flags": ""}
        said = {"via": "statement", "status": "succeeded", "raw_status": "1", "amount_micros": 3_000_000}
        paid = {"amount_raw": "3", "unit_micros": 1, "occurred_at": moment, "changed_at": moment, "checked_at": moment}
        with writing(self._engine) as connection:
            connection.execute(
                insert(orders), [one | order | {"created_at": moment, "updated_at": moment} for one in named]
            )
            connection.execute(insert(provider_facts), [one | said | paid for one in named])

    def count(self, table: Table, **columns: Any) -> int:
        query = select(func.count()).select_from(table).where(*(table.c[name] == one for name, one in columns.items()))
        with reading(self._engine) as connection:
            return int(connection.scalar(query) or 0)

    def tally(self, *columns: Any) -> Counter[tuple[Any, ...]]:
        with reading(self._engine) as connection:
            return Counter(map(tuple, connection.execute(select(*columns))))

    def whole(self) -> bool:
        """Every run has the manifest that its hash is of."""
        told = self.tally(runs.c.manifest, runs.c.manifest_hash)
        return all(sha256(manifest.encode()).hexdigest() == digest for manifest, digest in told)


def test_nothing_that_dies_in_the_middle_changes_the_end(database_url: str, tmp_path: Path) -> None:
    """Each payment is recovered and told once; every break is over; nothing is left to do."""
    with a_system(database_url, tmp_path, RELAY_SOURCES=RECOVERING) as (system, subscribers):
        engine = make_engine(database_url)
        book = Book(engine)
        try:
            second_clock(system)
            book.lose(LOST)
            strike(system, "worker", when=lambda: book.count(match_states) > 0)
            strike(system, "worker", when=lambda: book.count(events, **CREDIT) > LOST // 20)
            strike(system, "redis", when=lambda: book.count(events, **CREDIT) > LOST // 3)
            within = {"within_s": 150, "what": f"everything is recovered\n{system.log('worker')[-3000:]}"}
            eventually(lambda: book.count(recoveries, state="applied") == LOST, **within)  # type: ignore[arg-type]  # each has its type

            def all_told() -> bool:
                return all(len(subscribers.orders_of(name)) == LOST for name in SUBSCRIBERS)

            eventually(all_told, within_s=90, what="everybody is told")
            eventually(
                lambda: book.count(dirty) + book.count(dirty_work) == 0, within_s=90, what="nothing is left to do"
            )
            assert book.tally(orders.c.state, orders.c.credited_micros, orders.c.flags) == {
                ("succeeded", 3_000_000, "recovered"): LOST
            }
            assert book.tally(match_states.c.verdict, match_states.c.kinds) == {("matched", ""): LOST}
            assert book.tally(breaks.c.kind, breaks.c.state) == {("missing_callback", "resolved"): LOST}
            assert book.count(events, **CREDIT) == LOST
            assert book.whole()
            for name in SUBSCRIBERS:
                assert all(len(ways) == 1 for ways in subscribers.orders_of(name).values())
        finally:
            engine.dispose()


def second_clock(system: System) -> None:
    """Have another clock ring for the same work."""
    system.commands["clock-2"] = system.commands["clock"]
    system.start("clock-2")


def strike(system: System, name: str, *, when: Callable[[], bool]) -> None:
    """Kill a process once something has begun, and start it again."""
    eventually(when, within_s=120, what=f"work for {name} to die in\n{system.log('worker')[-3000:]}")
    system.kill(name)
    system.start(name)
