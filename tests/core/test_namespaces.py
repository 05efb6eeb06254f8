"""A source never loses its orders unseen."""

from __future__ import annotations

import pytest

from relay.core.namespaces import moved
from tests.builders import a_source

CASES = [
    ("a first start", {}, set(), "crossing", 0),
    ("the same again", {"crossing": "crossing"}, set(), "crossing", 0),
    ("another namespace", {"crossing": "old"}, set(), "crossing", 1),
    ("renamed, with orders", {"old": "old"}, {("old", "app")}, "crossing", 1),
    ("renamed, keeping its namespace", {"old": "crossing"}, {("old", "app")}, "crossing", 0),
    ("renamed, twice over", {"old": "old", "older": "older"}, {("old", "app"), ("older", "app")}, "crossing", 2),
    ("another appid", {"old": "old"}, {("old", "other")}, "crossing", 0),
    ("joined to another's", {"crossing": "crossing"}, set(), "shared", 1),
]


@pytest.mark.parametrize(
    ("recorded", "histories", "namespace", "faults"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_torn_history_is_one_fault(
    recorded: dict[str, str], histories: set[tuple[str, str]], namespace: str, faults: int
) -> None:
    """It names the source's place and the namespace that keeps its orders together."""
    source = a_source(namespace=namespace, appid="app")
    found = moved({"crossing": source}, recorded, histories)
    assert len(found) == faults
    assert all(fault.startswith("sources.crossing.namespace: ") and "to keep them" in fault for fault in found)


def test_a_source_without_an_appid_is_nobodys_successor() -> None:
    """What has no appid cannot be told from any other."""
    assert moved({"crossing": a_source()}, {"old": "old"}, {("old", "app")}) == []
