"""The catalogue is published."""

from __future__ import annotations

from flask_openapi3 import OpenAPI

from relay.core.catalogue import CATALOGUE, schema_of


def test_anyone_may_read_what_events_look_like(app: OpenAPI) -> None:
    """Every type with its schema, its moment and its remedy."""
    told = app.test_client().get("/events/catalogue").get_json()["data"]
    assert [one["type"] for one in told] == list(CATALOGUE)
    assert all(one["schema"] == schema_of(one["type"]) and one["when"] and one["do"] for one in told)
