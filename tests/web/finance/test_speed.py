"""A page of finance sends a number of statements that does not depend on how much there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from flask_openapi3 import OpenAPI
from sqlalchemy import Engine, event

from relay.bootstrap import Runtime
from tests.builders import NOON
from tests.rows import a_break, a_credit, a_session, a_stored_order
from tests.store.test_day_facts import called, stories
from tests.web.conftest import Visitor

# What a page may send, the look at the session and at the processes included.
STATEMENTS = {"/finance/2026-11-23": 64, "/finance/breaks": 10, "/finance/orders": 8}


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *others: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def sent_by(runtime: Runtime, visitor: Visitor) -> dict[str, int]:
    """How many statements each page sends."""
    counts = {}
    for path in STATEMENTS:
        with counted(runtime.engine) as sent:
            visitor.read(path)
        counts[path] = len(sent)
    return counts


def test_a_page_sends_a_constant_number_of_statements(runtime: Runtime, app: OpenAPI) -> None:
    """As many with forty orders and breaks more, and never more than its bound."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "preparer"))
    stories(runtime.engine)
    a_break(runtime.engine, "b1", first_seen=NOON)
    few = sent_by(runtime, visitor)
    for number in range(40):
        a_stored_order(runtime.engine, f"more {number}")
        called(runtime.engine, f"more {number}", 1_000_000, at=NOON + timedelta(seconds=number))
        a_credit(runtime.engine, 100 + number, f"more {number}", 1_000_000)
        a_break(runtime.engine, f"more {number}", first_seen=datetime.now(UTC))
    assert sent_by(runtime, visitor) == few
    assert all(few[path] <= bound for path, bound in STATEMENTS.items()), few
