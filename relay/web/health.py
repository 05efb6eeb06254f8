"""Own what a platform asks: are you alive, are you ready, who are you, and how much of everything is there."""

from __future__ import annotations

import json
import platform
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import relay
from relay.bootstrap import now
from relay.errors import Unavailable
from relay.flows.token_health import banner
from relay.store import heartbeats
from relay.store.engine import reading
from relay.store.revisions import revision_state
from relay.web.auth import any_key, public
from relay.web.context import runtime
from relay.web.document import document
from relay.web.metrics import registry_of

routes = Blueprint("health", __name__)

PROBED = public("probes carry no key")


@routes.get("/livez")
@routes.get("/healthz", endpoint="healthz")
@PROBED
def livez() -> Response:
    """Fail only for what a restart would mend: a committer that died or hangs. Nothing outside is asked."""
    alive = runtime().intake.alive
    return _report(200 if alive else 503, "alive" if alive else "the committer is dead")


@routes.get("/readyz")
@PROBED
def readyz() -> Response:
    """Fail when callbacks could not be stored; everything else that is missing is named as `degraded`."""
    required = _database_checks()
    if any(verdict != "ok" for verdict in required.values()):
        # The rest is read from tables that such a database may not have.
        return _report(503, "unavailable", required)
    optional = {
        "redis": "ok" if runtime().memory.answers() else "does not answer",
        **_silence(now()),
        "tokens": _tokens(),
    }
    degraded = any(verdict != "ok" for verdict in optional.values())
    return _report(200, "degraded" if degraded else "ready", required | optional)


@routes.get("/version")
@PROBED
def version() -> Response:
    """Say which release this is."""
    return _json({"name": "recharge-relay", "version": relay.__version__, "python": platform.python_version()})


@routes.get("/metrics")
@any_key
def metrics() -> Response:
    """Count everything in SQL at this moment, as Prometheus text."""
    return Response(generate_latest(registry_of(current_app)), content_type=CONTENT_TYPE_LATEST)


@routes.get("/openapi.json")
@public("the description of the API is no secret")
def openapi() -> Response:
    """Describe the API as OpenAPI 3.1."""
    return _json(document())


def _database_checks() -> dict[str, str]:
    try:
        state = revision_state(runtime().engine)
    except Unavailable as error:
        return {"database": error.detail}
    # A newer database is what a rollback leaves behind; the schema works with the release before.
    return {"database": "ok", "revision": "ok" if state in ("current", "newer") else f"{state}: run the migration"}


def _silence(moment: datetime) -> dict[str, str]:
    with reading(runtime().engine) as connection:
        seen = heartbeats.last_seen(connection)
    return {kind: _sign_of_life(seen.get(kind), moment) for kind in ("worker", "clock")}


def _tokens() -> str:
    with reading(runtime().engine) as connection:
        return banner(connection) or "ok"


def _sign_of_life(seen: datetime | None, moment: datetime) -> str:
    if seen is None:
        return "no heartbeat yet"
    silent = moment - seen
    return "ok" if silent <= heartbeats.SILENT_AFTER else f"no heartbeat for {int(silent.total_seconds())} s"


def _report(status: int, word: str, checks: dict[str, str] | None = None) -> Response:
    return _json({"status": word} | ({"checks": checks} if checks else {}), status)


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
