"""Work on a break: every act has its row in the audit, and what makes no sense changes nothing."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, select

from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows import breaks as flow
from relay.store import audit, break_list, rows
from relay.store.engine import reading
from tests.builders import NOON, a_callback
from tests.fakes import numbered_ids
from tests.flows.test_reconcile import House
from tests.rows import a_break, a_person


def test_a_break_is_taken_on_noted_and_resolved(engine: Engine) -> None:
    """The last words stand on it, all of them in the audit."""
    pat = a_person(engine, "pat", "preparer")
    a_break(engine, "b1")
    flow.assign(engine, "b1", " Pat ", actor=pat, now=NOON)
    flow.note(engine, "b1", "asked the provider", actor=pat, now=NOON)
    flow.resolve(engine, "b1", "a typing error of theirs", actor=pat, now=NOON, new_id=numbered_ids("act"))
    with reading(engine) as connection:
        row = break_list.find(connection, "b1")
        acts = audit.of_subject(connection, "b1", most=9)
        assert audit.verify(connection) is None
    assert row is not None
    assert (row["owner"], row["note"], row["state"], row["resolved_by"]) == (
        "pat",
        "a typing error of theirs",
        "resolved",
        "user:pat",
    )
    assert [(act["act"], json.loads(act["detail"])) for act in acts] == [
        ("break.assign", {"owner": "pat"}),
        ("break.note", {"note": "asked the provider"}),
        ("break.resolve", {"reason": "a typing error of theirs"}),
    ]
    with pytest.raises(Conflict):
        flow.note(engine, "b1", "too late", actor=pat, now=NOON)


def test_a_difference_may_be_accepted(engine: Engine) -> None:
    """With a reason, as an act of its own; nothing opens it again until its facts change."""
    pat = a_person(engine, "pat", "preparer")
    a_break(engine, "b1")
    flow.accept(engine, "b1", "the provider's rounding, we bear it", actor=pat, now=NOON, new_id=numbered_ids("act"))
    with reading(engine) as connection:
        row = break_list.find(connection, "b1")
        (act,) = audit.of_subject(connection, "b1", most=9)
    assert row is not None
    assert (row["state"], row["resolved_by"], act["act"]) == ("resolved", "user:pat", "break.accept")
    with pytest.raises(Unprocessable):
        flow.accept(engine, "b1", "", actor=pat, now=NOON, new_id=numbered_ids("act"))


def test_a_break_that_was_over_and_is_found_again_is_told_again(engine: Engine) -> None:
    """With the values of now, and no longer as somebody's who resolved it."""
    house = House(engine)
    for micros in (3_000_000, 4_000_000):
        house.door.accept(a_callback(amount_micros=micros, signature=str(micros)), house.source)
    with reading(engine) as connection:
        break_id = connection.scalar(select(rows.breaks.c.id))
    flow.resolve(
        engine, str(break_id), "a test", actor=a_person(engine, "pat", "preparer"), now=NOON, new_id=house.new_id
    )
    for micros in (5_000_000, 6_000_000):
        house.door.accept(a_callback(amount_micros=micros, signature=str(micros)), house.source)
    with reading(engine) as connection:
        row = connection.execute(select(rows.breaks)).mappings().one()
    assert (row["state"], row["resolved_at"], row["resolved_by"], row["amount_micros"]) == (
        "open",
        None,
        None,
        5_000_000,
    )
    assert len(house.bodies("%break.opened")) == 2


def test_what_makes_no_sense_changes_nothing(engine: Engine) -> None:
    """A stranger cannot own it, nobody resolves it without a word, and there is no other."""
    pat = a_person(engine, "pat", "preparer")
    a_break(engine, "b1")
    with pytest.raises(Unprocessable):
        flow.assign(engine, "b1", "nobody-here", actor=pat, now=NOON)
    for words in ("", "  \0 ", "x" * 2_001):
        with pytest.raises(Unprocessable):
            flow.resolve(engine, "b1", words, actor=pat, now=NOON, new_id=numbered_ids("act"))
    with pytest.raises(NotFound):
        flow.note(engine, "b2", "a note", actor=pat, now=NOON)
    flow.assign(engine, "b1", "", actor=pat, now=NOON)
    with reading(engine) as connection:
        assert len(audit.page(connection, after=None, limit=9).rows) == 1
