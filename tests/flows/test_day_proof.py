"""The weekly proof: what stands as its facts say is proven, what does not is named and put right by the next run."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from relay.core.days import Calendar
from relay.flows.day_proof import KIND, begin, prove
from relay.store.day_looks import open_ones
from relay.store.engine import reading, writing
from relay.store.rows import events, match_states, runs
from tests.builders import NOON
from tests.flows.test_reconcile import House, a_lost_callback

# NOON is a Monday; the week after it is over on the next one.
NEXT_WEEK = NOON + timedelta(days=8)


class Prover:
    """Proves the week of NOON in a house whose orders were reconciled."""

    def __init__(self, engine: Engine, orders: int = 3) -> None:
        self.house = House(engine)
        for number in range(1, orders + 1):
            a_lost_callback(engine, number)
        self.house.run()
        self.house.at = NEXT_WEEK
        self.house.run()

    def prove(self, pages: int = 100) -> int:
        """Begin what is due and go on."""
        begin(self.house.bench, Calendar(), now=NEXT_WEEK)
        return prove(self.house.bench, now=NEXT_WEEK, pages=pages)

    def runs(self) -> list[Any]:
        """The runs of whole days, each with its manifest."""
        with reading(self.house.engine) as connection:
            found = connection.execute(select(runs).where(runs.c.kind == KIND)).mappings()
            return [{**row, **json.loads(row["manifest"])} for row in found]


@pytest.fixture
def prover(engine: Engine) -> Prover:
    return Prover(engine)


def test_a_day_that_stands_is_proven_once(prover: Prover) -> None:
    """Count, sum and hash of what is kept and of what is judged are the same; days without orders leave no run."""
    assert prover.prove() == 0
    assert prover.prove() == 0
    (run,) = prover.runs()
    assert (run["state"], run["subject"], run["orders"], run["credited_usdt"]) == (
        "complete",
        "2026-11-23",
        3,
        "9.000000",
    )
    assert run["kept"] == run["judged"] != "0" * 16
    with reading(prover.house.engine) as connection:
        assert open_ones(connection, KIND) == []


def test_what_stands_otherwise_is_named_and_put_right(prover: Prover) -> None:
    """A row that somebody changed, and one that is missing: an incomplete run says so, and the next run mends both."""
    with writing(prover.house.engine) as connection:
        connection.execute(update(match_states).where(match_states.c.orderid == "lost-1").values(verdict="unpaid"))
        connection.execute(text("DELETE FROM match_states WHERE orderid = 'lost-2'"))
    assert prover.prove() == 2
    (run,) = prover.runs()
    assert run["reason"] == (
        "2026-11-23: 2 orders stood otherwise than their facts say: crossing/lost-1, crossing/lost-2"
    )
    assert (run["state"], run["kept"] == run["judged"]) == ("incomplete", False)
    with reading(prover.house.engine) as connection:
        told = connection.scalars(select(events.c.type).where(events.c.type.like("reconciliation.run%"))).all()
    assert told == ["reconciliation.run.incomplete"]
    prover.house.at += timedelta(minutes=1)
    prover.house.run()
    assert prover.house.count(match_states, verdict="matched") == 3


def test_it_goes_on_where_it_stopped(prover: Prover, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page at a time, by whichever process; the hash is that of the whole."""
    monkeypatch.setattr("relay.flows.day_proof.PAGE", 1)
    for _ in range(20):
        prover.prove(pages=1)
    (run,) = prover.runs()
    assert (run["orders"], run["kept"] == run["judged"]) == (3, True)


def test_what_a_run_has_still_to_look_at_is_no_difference(prover: Prover) -> None:
    """Its facts have just changed."""
    with writing(prover.house.engine) as connection:
        connection.execute(text("UPDATE provider_facts SET status = 'failed', changed_at = '2026-12-01 00:00:00'"))
    assert prover.prove() == 0
    (run,) = prover.runs()
    assert (run["state"], run["waiting"]) == ("complete", 3)
