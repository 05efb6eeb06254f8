"""What no endpoint was told is found page by page, however far apart it lies."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from relay.store import events
from relay.store.engine import reading
from tests.rows import a_delivery, an_endpoint, an_event

UNSENT = [2, 9, 10]


@pytest.fixture
def _twelve(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve events, three of which nobody was told; a page looks through three."""
    monkeypatch.setattr(events, "LOOKED_THROUGH", 3)
    endpoint = an_endpoint(engine)
    for sequence in range(1, 13):
        an_event(engine, sequence)
        if sequence not in UNSENT:
            a_delivery(engine, sequence, endpoint)


@pytest.mark.usefixtures("_twelve")
@pytest.mark.parametrize(("newest_first", "expected"), [(False, UNSENT), (True, UNSENT[::-1])])
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_pages_lead_to_all_of_it(engine: Engine, expected: list[int], limit: int, *, newest_first: bool) -> None:
    """Nothing is skipped, nothing comes twice, and the last page has no next one."""
    found: list[int] = []
    after = None
    for _ in range(20):
        with reading(engine) as connection:
            page = events.page(connection, scope=None, after=after, limit=limit, newest_first=newest_first, unsent=True)
        found += [row["sequence"] for row in page.rows]
        after = page.next
        if after is None:
            break
    assert found == expected
    assert after is None


@pytest.mark.usefixtures("_twelve")
@pytest.mark.parametrize("after", [12, 13, 2**63 - 1])
def test_behind_the_end_there_is_nothing(engine: Engine, after: int) -> None:
    """Whatever number is named."""
    with reading(engine) as connection:
        page = events.page(connection, scope=None, after=after, limit=5, unsent=True)
    assert (page.rows, page.next) == ([], None)


@pytest.mark.usefixtures("_twelve")
def test_the_newest_are_looked_through_once(engine: Engine) -> None:
    """Whoever follows from now on is not kept waiting for what lies far back."""
    with reading(engine) as connection:
        assert [row["sequence"] for row in events.last(connection, scope=None, most=5, unsent=True)] == [10]
