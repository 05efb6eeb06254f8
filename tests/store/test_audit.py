"""The audit's chain shows every change of its past, and grows in one line however many write."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from relay.store import audit
from relay.store.engine import reading, writing
from tests.builders import NOON


def act(engine: Engine, subject: str = "ep_1") -> audit.Head:
    """Audit one act."""
    with writing(engine) as connection:
        return audit.append(
            connection, actor="key_1", act="endpoint.disable", subject=subject, now=NOON, detail={"why": "größer"}
        )


def verdict(engine: Engine) -> int | None:
    """Walk the chain."""
    with reading(engine) as connection:
        return audit.verify(connection)


def test_an_empty_chain_is_whole(engine: Engine) -> None:
    """There is nothing to object to."""
    assert verdict(engine) is None


def test_a_chain_that_nobody_touched_is_whole(engine: Engine) -> None:
    """Each row follows the one before."""
    heads = [act(engine) for _ in range(3)]
    assert [head.sequence for head in heads] == [1, 2, 3]
    assert verdict(engine) is None


@pytest.mark.parametrize(
    ("tampering", "first_bad"),
    [
        ("UPDATE audit SET actor = 'key_2' WHERE sequence = 2", 2),
        ("UPDATE audit SET detail = '{}' WHERE sequence = 3", 3),
        ("UPDATE audit SET at = '2026-11-23 12:00:01' WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 2", 2),
        ("UPDATE audit SET sequence = sequence + 4", 1),
        ("UPDATE audit SET previous_hash = 'x' WHERE sequence = 4", 4),
    ],
)
def test_tampering_is_found_at_its_first_row(engine: Engine, tampering: str, first_bad: int) -> None:
    """Edited, deleted, moved."""
    for _ in range(4):
        act(engine)
    with writing(engine) as connection:
        connection.execute(text(tampering))
    assert verdict(engine) == first_bad


def test_a_cut_end_is_found_by_a_head_that_was_logged(engine: Engine) -> None:
    """The rest of the chain is whole in itself."""
    act(engine)
    head = act(engine)
    with reading(engine) as connection:
        assert audit.holds(connection, head.hash)
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM audit WHERE sequence = 2"))
    assert verdict(engine) is None
    with reading(engine) as connection:
        assert not audit.holds(connection, head.hash)


def test_an_act_that_is_taken_back_leaves_no_trace(engine: Engine) -> None:
    """The row is part of the act's own transaction."""
    act(engine)

    def fail() -> None:
        with writing(engine) as connection:
            audit.append(connection, actor="key_1", act="x", subject="y", now=NOON)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert act(engine).sequence == 2


def test_many_at_once_make_one_chain(engine: Engine) -> None:
    """Appenders queue, even between processes: each thread has a connection of its own."""
    threads = [threading.Thread(target=act, args=(engine, f"ep_{number}")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with reading(engine) as connection:
        assert audit.head(connection).sequence == 12
    assert verdict(engine) is None
