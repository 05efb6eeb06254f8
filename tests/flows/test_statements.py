"""A provider's statement is read by its columns; a row that does not fit them is a fault, not another amount."""

from __future__ import annotations

import io

import pytest
from sqlalchemy import Engine, select

from relay.core.actors import Actor
from relay.flows.statements import Imported, Importer, StatementRefused, import_statement
from relay.store import rows
from relay.store.engine import reading
from tests.builders import NOON
from tests.core.calling import a_called_source
from tests.fakes import numbered_ids

TWO_COLUMNS = """
[sources.crossing.statement]
columns = { orderid = "Order", amount = "Amount" }
status = "succeeded"
amount = { form = "decimal", unit_micros = 1 }
"""


def an_importer(engine: Engine, statement: str) -> Importer:
    """Somebody at a terminal, whose source has such a statement."""
    return Importer(
        engine=engine,
        sources={"crossing": a_called_source(more=statement)},
        actor=Actor(id="cli:x", name="x", roles=frozenset({"admin"})),
        clock=lambda: NOON,
        new_id=numbered_ids(),
    )


def imported(engine: Engine, text: str) -> Imported:
    """Import a file of two columns."""
    importer = an_importer(engine, TWO_COLUMNS)
    return import_statement(importer, io.BytesIO(text.encode()), "crossing", rows=None, micros=None)


def test_an_amount_with_a_comma_in_it_is_not_its_beginning(engine: Engine) -> None:
    """Unquoted, 1,000.50 is two cells: each such row is named, and nothing is kept."""
    with pytest.raises(StatementRefused) as refused:
        imported(engine, "Order,Amount\nsh-1,1,000.50\nsh-2,3\nsh-3,2,500.00\n")
    assert refused.value.faults == tuple(
        f"line {line}: has 3 cells where the first line has 2 titles" for line in (2, 4)
    )
    with reading(engine) as connection:
        assert connection.execute(select(rows.provider_facts)).all() == []


def test_a_row_may_end_early_or_with_nothing(engine: Engine) -> None:
    """Programs leave empty cells out, or end each row with a delimiter."""
    assert imported(engine, "Order,Amount,Remark\nsh-1,1\nsh-2,2,,,\n").total_micros == 3_000_000


def test_amounts_that_come_to_more_than_is_kept_are_refused_before_anything_is(engine: Engine) -> None:
    """Each of them is an amount; their sum is none that a database takes."""
    with pytest.raises(StatementRefused, match="line 11: Amount brings the sum beyond"):
        imported(engine, "Order,Amount\n" + "".join(f"sh-{number},999999999999\n" for number in range(10)))
    with reading(engine) as connection:
        assert connection.execute(select(rows.provider_facts)).all() == []
