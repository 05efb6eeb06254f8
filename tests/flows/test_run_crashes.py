"""A run that dies at any statement or commit leaves nothing that counts, and the next one ends as if nothing had happened."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from relay.flows.reconcile import LEASE_S, reconcile
from relay.flows.recovery import recover
from relay.store import engine as engines
from relay.store import reconciling
from relay.store.engine import reading, writing
from relay.store.rows import breaks, callbacks, dirty, dirty_work, events, match_states, orders, recoveries, runs
from tests.flows.test_reconcile import House, a_lost_callback
from tests.rows import a_provider_fact
from tests.store.test_agreement import an_agreed_order

WRITTEN = (breaks, callbacks, dirty, dirty_work, events, match_states, orders, recoveries, runs)


class PowerCut(BaseException):
    """What no code catches: the process is gone."""


class Cut:
    """Cuts this thread's n-th exchange with the database; later ones are the next process's."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._mine = threading.get_ident()

    @property
    def came(self) -> bool:
        return self._left <= 0

    def __call__(self, *_: Any) -> None:
        if threading.get_ident() == self._mine:
            self._left -= 1
            if self._left == 0:
                raise PowerCut


@contextmanager
def cutting(engine: Engine, cut: Cut, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a cut meet every statement, every pipeline and every commit of the engine."""
    send = engines._send

    def cut_send(*arguments: Any, **named: Any) -> Any:
        cut()
        return send(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(engines, "_send", cut_send)
        for name in ("before_cursor_execute", "commit"):
            event.listen(engine, name, cut)
        try:
            yield
        finally:
            for name in ("before_cursor_execute", "commit"):
                event.remove(engine, name, cut)


def go(house: House) -> None:
    """A round as the job goes it."""
    reconcile(house.bench, now=house.at)
    if recover(house.bench, house.door, now=house.at):
        reconcile(house.bench, now=house.at)


def facts(engine: Engine) -> None:
    """One order that agrees, one that is recovered, one with a break."""
    an_agreed_order(engine, "sh-1", 1)
    a_lost_callback(engine, 2)
    an_agreed_order(engine, "sh-3", 3)
    a_provider_fact(engine, "sh-3", source="another", amount_micros=5_000_000)


def ending(engine: Engine) -> dict[str, Any]:
    """How all stands, without times, ids and how many runs it took."""
    with reading(engine) as connection:
        states = connection.execute(select(match_states.c.orderid, match_states.c.verdict, match_states.c.kinds)).all()
        return {
            "states": sorted(map(tuple, states)),
            "breaks": sorted(map(tuple, connection.execute(select(breaks.c.id, breaks.c.state)))),
            "events": Counter(connection.scalars(select(events.c.type))),
            "recoveries": sorted(map(tuple, connection.execute(select(recoveries.c.orderid, recoveries.c.state)))),
            "credits": sorted(map(tuple, connection.execute(select(orders.c.orderid, orders.c.credited_micros)))),
            "left": [connection.execute(select(one)).first() for one in (dirty, dirty_work)],
        }


def put_back(engine: Engine, before: dict[Any, list[dict[str, Any]]]) -> None:
    """All as it was, and every order to be looked at."""
    with writing(engine) as connection:
        for table, rows in before.items():
            connection.execute(table.delete())
            if rows:
                connection.execute(table.insert(), rows)
        connection.execute(dirty.delete())
        reconciling.mark_all(connection)


def whole(engine: Engine) -> bool:
    """Whatever run there is has its manifest."""
    with reading(engine) as connection:
        rows = connection.execute(select(runs.c.manifest, runs.c.manifest_hash)).all()
    return all(sha256(row.manifest.encode()).hexdigest() == row.manifest_hash for row in rows)


def test_a_cut_anywhere_changes_nothing_of_the_end(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time the cut comes one exchange later; the next process goes on when the lease is over."""
    monkeypatch.setattr("relay.flows.reconcile.PAGE", 1)
    monkeypatch.setattr("relay.flows.reconcile.AGREED_PAGE", 1)
    facts(engine)
    with reading(engine) as connection:
        before = {table: [dict(row) for row in connection.execute(select(table)).mappings()] for table in WRITTEN}
    undisturbed = House(engine)
    put_back(engine, before)
    go(undisturbed)
    expected = ending(engine)
    for at in itertools.count(1):
        put_back(engine, before)
        house, cut = House(engine, owner=f"cut-{at}-"), Cut(at)
        house.at += timedelta(seconds=2 * LEASE_S * at)
        with cutting(engine, cut, monkeypatch), suppress(PowerCut):
            go(house)
        assert whole(engine)
        house.at += timedelta(seconds=LEASE_S + 1)
        go(house)
        assert ending(engine) == expected, f"cut at exchange {at}"
        if not cut.came:
            break
    assert at > 40
    assert expected["events"]["recharge.succeeded"] == 1
