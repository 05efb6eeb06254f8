"""Every list is read in pages that skip nothing and repeat nothing, whatever is added meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from relay.bootstrap import Runtime
from relay.store import audit
from relay.store.engine import writing
from tests.builders import NOON
from tests.rows import a_delivery, a_stored_callback, a_stored_order, an_endpoint, an_event
from tests.web.conftest import Caller

LISTS = ("events", "deliveries", "endpoints", "callbacks", "orders", "audit")
KEYS = {"events": "sequence", "audit": "sequence", "orders": "orderid"}


def fill(engine: Engine, first: int, count: int) -> None:
    """Add rows to every list."""
    for number in range(first, first + count):
        an_event(engine, number)
        a_delivery(engine, number, an_endpoint(engine, id=f"ep_{number:03}"))
        a_stored_callback(engine)
        a_stored_order(engine, f"sh-{number}")
        with writing(engine) as connection:
            audit.append(connection, actor="key_1", act="x", subject="y", now=NOON)


def read(caller: Caller, name: str, between: Callable[[], None] = lambda: None) -> list[Any]:
    """Read a list in pages of two."""
    found: list[Any] = []
    after: dict[str, Any] = {}
    while True:
        page = caller.get(f"/v1/{name}", limit=2, **after)
        assert len(page["data"]) <= 2
        found += [one[KEYS.get(name, "id")] for one in page["data"]]
        if page["next"] is None:
            return found
        between()
        after = {"after": page["next"]}


@pytest.mark.parametrize("name", LISTS)
def test_pages_join_without_seam(runtime: Runtime, admin: Caller, name: str) -> None:
    """Every row once, in one order."""
    fill(runtime.engine, 1, 7)
    whole = [one[KEYS.get(name, "id")] for one in admin.get(f"/v1/{name}", limit=250)["data"]]
    assert len(set(whole)) == 7
    assert read(admin, name) == whole
    assert admin.get(f"/v1/{name}", limit=7)["next"] is None


@pytest.mark.parametrize("name", [name for name in LISTS if name != "events"])
def test_what_is_added_while_reading_moves_nothing(runtime: Runtime, admin: Caller, name: str) -> None:
    """Newer rows come before the first page, not into a later one."""
    fill(runtime.engine, 1, 5)
    numbers = iter(range(6, 20))
    found = read(admin, name, between=lambda: fill(runtime.engine, next(numbers), 1))
    assert len(found) == len(set(found)) == 5


def test_the_feed_goes_on_with_what_is_added(runtime: Runtime, admin: Caller) -> None:
    """Its cursor is the sequence of the last event that was read, at the end of the feed too."""
    fill(runtime.engine, 1, 3)
    seen = [one["sequence"] for one in admin.get("/v1/events")["data"]]
    fill(runtime.engine, 4, 2)
    seen += [one["sequence"] for one in admin.get("/v1/events", after=seen[-1])["data"]]
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_is_a_list(admin: Caller, name: str) -> None:
    """Nothing is no error."""
    assert admin.get(f"/v1/{name}") == {"data": [], "next": None}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 251},
        {"limit": "ten"},
        {"colour": "red"},
        {"after": "a\0b"},
    ],
)
def test_a_wrong_wish_is_refused_and_pointed_at(admin: Caller, name: str, query: dict[str, Any]) -> None:
    """A filter that does not exist too: silence would look like an answer."""
    answer = admin("GET", f"/v1/{name}", query_string=query)
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == f"/{next(iter(query))}"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/events/evt_none", 404),
        ("/v1/events/%00", 422),
        ("/v1/deliveries/1", 404),
        ("/v1/deliveries/x", 404),
        ("/v1/deliveries/99999999999999999999", 422),
        ("/v1/endpoints/ep_none", 404),
        ("/v1/callbacks/1", 404),
        ("/v1/orders/crossing/none", 404),
        ("/v1/orders/%00/none", 422),
        ("/v1/events?since=2026-11-23", 422),
        ("/v1/events?since=0001-01-01T00:00:00%2B14:00", 422),
        ("/v1/deliveries?after=9223372036854775808", 422),
        ("/v1/deliveries?state=lost", 422),
        ("/v1/orders?state=lost", 422),
        ("/v1/callbacks?verdict=lost", 422),
    ],
)
def test_what_is_not_there_is_not_our_fault(admin: Caller, path: str, status: int) -> None:
    """4xx with a problem, on both databases."""
    answer = admin("GET", path)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize("name", LISTS)
def test_a_database_that_is_away_is_told_as_such(runtime: Runtime, admin: Caller, name: str) -> None:
    """503 with Retry-After, not 500."""
    held = [runtime.engine.connect() for _ in range(3)]
    try:
        runtime.engine.pool._timeout = 0.05  # type: ignore[attr-defined]  # five seconds are long for a test
        answer = admin("GET", f"/v1/{name}")
    finally:
        for connection in held:
            connection.close()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_every_operation_is_described(admin: Caller) -> None:
    """Each with a summary, its answer, its errors and the key it needs."""
    paths = admin.get("/openapi.json")["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert len(operations) >= 28
    for operation in operations:
        assert operation["summary"].endswith("."), operation
        assert operation["security"] == [{"key": []}]
        assert operation["responses"].keys() >= {"401", "403", "422"}
        assert operation["responses"].keys() & {"200", "201", "202", "204"}
