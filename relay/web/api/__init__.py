"""Own the list of the API's parts."""

from __future__ import annotations

from flask_openapi3 import APIBlueprint

BLUEPRINTS: tuple[APIBlueprint, ...] = ()
