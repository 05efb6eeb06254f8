"""V1 beside V2: two dialects of one provider, called back in two processes, credit each order once."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from typing import Any

from sqlalchemy import select

from relay.core.callbacks import Callback, Status
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.store.engine import make_engine, reading
from relay.store.rows import events, orders
from tests.builders import NOON, a_callback, a_source
from tests.fakes import FakeMemory, numbered_ids

ORDERS = 60
# Where what one dialect says differs from the other: the second names no user, counts finer, and bears a transaction.
V1 = {"source": "crossing-v1", "unit_micros": 100, "amount_raw": "30000"}
V2 = {"source": "crossing-v2", "unit_micros": 1, "amount_raw": "3.00", "user_ref": None, "appid": None}


def in_dialect(dialect: dict[str, Any], number: int, **changes: Any) -> Callback:
    """An order's callback as this dialect sends it."""
    transaction = {"tx_hash": f"{number:064x}"} if dialect is V2 else {}
    signed = {"signature": f"{dialect['source']}-{number}", "orderid": f"sh-{number}", "namespace": "crossing"}
    return a_callback(**dialect | transaction | signed | changes)


def submit(committer: Committer, callback: Callback) -> str:
    """Send one callback through."""
    source = a_source(name=callback.source, namespace=callback.namespace)
    raw = {"source": callback.source, "received_at": NOON}
    return str(committer.submit(Arrival(raw=raw, callback=callback, source=source), timeout_s=30))


def call_back(url: str, dialect: dict[str, Any], start: Barrier, verdicts: Any) -> None:
    """Be one process: send every order in one dialect."""
    engine = make_engine(url)
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids(f"{dialect['source']}-"))
    mine = V1 if dialect["source"] == "crossing-v1" else V2
    start.wait(60)
    verdicts.put([submit(committer, in_dialect(mine, number)) for number in range(ORDERS)])
    engine.dispose()


def test_two_processes_with_a_dialect_each_credit_every_order_once(postgres_url: str) -> None:
    """Whichever comes first is accepted, the other is a duplicate, and nothing is a conflict."""
    spawn = multiprocessing.get_context("spawn")
    start, verdicts = spawn.Barrier(2), spawn.Queue()
    both = [spawn.Process(target=call_back, args=(postgres_url, dialect, start, verdicts)) for dialect in (V1, V2)]
    for process in both:
        process.start()
    first, second = verdicts.get(timeout=120), verdicts.get(timeout=120)
    for process in both:
        process.join(30)
    assert all({one, other} == {"accepted", "duplicate"} for one, other in zip(first, second, strict=True))
    engine = make_engine(postgres_url)
    with reading(engine) as connection:
        assert list(connection.scalars(select(events.c.type))) == ["recharge.succeeded"] * ORDERS
        assert set(connection.scalars(select(orders.c.credited_micros))) == {3_000_000}
    engine.dispose()


def test_a_re_send_by_hand_repeats_what_was_said(postgres_url: str) -> None:
    """Back offices sign again with a new time: it is a duplicate, whichever dialect came first, also after a refund."""
    engine = make_engine(postgres_url)
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids())
    later = {"occurred_at": NOON + timedelta(hours=5)}
    assert submit(committer, in_dialect(V2, 1)) == "accepted"
    for number, dialect in enumerate((V1, V2, V1)):
        assert submit(committer, in_dialect(dialect, 1, signature=f"again-{number}", **later)) == "duplicate"
    assert submit(committer, in_dialect(V2, 1, status=Status.REFUNDED, signature="back")) == "accepted"
    assert submit(committer, in_dialect(V1, 1, signature="years later", **later)) == "duplicate"
    engine.dispose()
