"""Own the catalogue of events as subscribers' programs read it."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from relay.core.catalogue import CATALOGUE, schema_of
from relay.web.auth import public

routes = Blueprint("catalogue", __name__)


@routes.get("/events/catalogue")
@public("what events look like is no secret")
def catalogue() -> Response:
    """List every type: when it is written, what a subscriber does, and the JSON Schema of its body."""
    found = [
        {"type": name, "when": entry.when, "do": entry.then, "schema": schema_of(name)}
        for name, entry in CATALOGUE.items()
    ]
    return Response(json.dumps({"data": found, "next": None}), content_type="application/json")
