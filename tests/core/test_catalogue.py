"""Every type is in the catalogue, and every body is as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.core.catalogue import CATALOGUE, schema_of
from relay.core.events import EVENT_TYPES
from relay.core.reversals import reverse
from tests.builders import an_order
from tests.schema import Spot, faults

DOCS = Path(__file__).parents[2] / "docs" / "events.md"


def test_every_type_is_in_the_catalogue_and_in_the_docs() -> None:
    """In the same words, so that neither can go its own way."""
    assert set(CATALOGUE) == set(EVENT_TYPES)
    told = DOCS.read_text()
    assert [name for name, one in CATALOGUE.items() if f"| `{name}` | {one.when} | {one.then} |" not in told] == []


def test_a_reversal_may_leave_a_part_and_says_so() -> None:
    """Whoever sets the credit to nothing would take more than was lost."""
    ruling = reverse(an_order(), standing_micros=1_000_000, generation=1, evidence={})
    assert ruling.announce == "recharge.reversed"
    assert ruling.order is not None
    assert ruling.order.credited_micros == 1_000_000
    told = CATALOGUE["recharge.reversed"]
    assert "or the part" in told.when
    assert "credited_micros is what stays credited" in told.then


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_body_that_says_less_does_not_fit(name: str) -> None:
    """Each declared field is asked for; an additional one is welcome."""
    schema = schema_of(name)
    data: dict[str, Any] = {"event_id": "evt_1", "sequence": 1, "endpoint_id": "ep_1"}
    body = {"type": name, "timestamp": "2026-11-23T12:00:00.000Z", "data": data}
    fits = faults(body, schema, Spot(schema)) == []
    assert fits == (name == "relay.test")
    if fits:
        assert faults(body | {"more": 1}, schema, Spot(schema)) == []
        assert faults(body, schema_of("recharge.succeeded"), Spot(schema)) != []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, None, 1),
        ({"type": "integer"}, 1, True),
        ({"type": "string", "format": "date-time"}, "2026-11-23T12:00:00Z", "2026-11-23T12:00:00"),
        ({"anyOf": [{"const": 1}, {"type": "null"}]}, None, 2),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, ["a", "b"], ["a", "a"]),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": ""}, {"b": ""}),
        ({"type": "string", "pattern": "^[0-9]+$"}, "12", "1a"),
        ({"enum": ["a"]}, "a", "b"),
    ],
)
def test_the_suites_own_checker_tells_good_from_bad(schema: Any, good: Any, bad: Any) -> None:
    """What it lets pass would prove nothing otherwise."""
    assert faults(good, schema, Spot(schema)) == []
    assert faults(bad, schema, Spot(schema)) != []
