"""What a platform and a Prometheus are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from sqlalchemy import text

from relay.bootstrap import Runtime
from relay.edge.redis import RedisMemory, connect
from relay.store import figures, rows
from relay.store.engine import make_engine, reading, writing
from relay.web import create_app
from tests.builders import NOON
from tests.rows import a_delivery, a_heartbeat, a_key, a_stored_callback, add, an_endpoint, an_event
from tests.web.conftest import Caller


def ask(app: OpenAPI, path: str) -> tuple[int, Any]:
    """Ask without a key."""
    answer = app.test_client().get(path)
    return answer.status_code, answer.get_json()


def everyone_is_alive(runtime: Runtime) -> None:
    """A worker and a clock leave their sign of life."""
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
@pytest.mark.parametrize(("alive", "status"), [(True, 200), (False, 503)])
def test_a_dead_committer_is_the_one_reason_to_be_replaced(
    runtime: Runtime, path: str, *, alive: bool, status: int
) -> None:
    """Nothing else is asked."""
    app = create_app(replace(runtime, intake=SimpleNamespace(alive=alive)))  # type: ignore[arg-type]  # alive is all it needs
    assert ask(app, path)[0] == status


def test_all_parts_in_place_is_ready(runtime: Runtime, app: OpenAPI) -> None:
    """Every check is named."""
    everyone_is_alive(runtime)
    checks = dict.fromkeys(("database", "revision", "redis", "worker", "clock", "tokens"), "ok")
    assert ask(app, "/readyz") == (200, {"status": "ready", "checks": checks})


def test_a_token_that_is_paused_is_named(runtime: Runtime, app: OpenAPI) -> None:
    """Callbacks are stored all the same."""
    everyone_is_alive(runtime)
    event = {"chain": "ethereum", "tx_hash": "0x01", "log_index": 0, "block_number": 7, "block_hash": "0x02"}
    more = {"contract": "0x" + "a6" * 20, "kind": "Pause", "seen_at": datetime.now(UTC)}
    add(runtime.engine, rows.token_events, **event, **more)
    status, told = ask(app, "/readyz")
    assert (status, told["status"]) == (200, "degraded")
    assert told["checks"]["tokens"].endswith("is paused since block 7: nobody can pay or collect")


def test_silent_processes_are_named_but_callbacks_go_on(runtime: Runtime, app: OpenAPI) -> None:
    """A worker that never was, a clock that was."""
    a_heartbeat(runtime.engine, "clock", datetime.now(UTC) - timedelta(seconds=91))
    status, told = ask(app, "/readyz")
    assert (status, told["status"]) == (200, "degraded")
    assert told["checks"]["worker"] == "no heartbeat yet"
    assert told["checks"]["clock"].startswith("no heartbeat for 9")


def test_without_redis_we_are_degraded(runtime: Runtime) -> None:
    """Nothing is lost without it, so the platform must keep us."""
    everyone_is_alive(runtime)
    gone = RedisMemory(connect("redis://127.0.0.1:1/0", tls_verify=True))
    status, told = ask(create_app(replace(runtime, memory=gone)), "/readyz")
    assert (status, told["status"], told["checks"]["redis"]) == (200, "degraded", "does not answer")


def test_without_a_database_we_are_not_ready(runtime: Runtime) -> None:
    """503, and alive all the same."""
    app = create_app(replace(runtime, engine=make_engine("postgresql://postgres@127.0.0.1:1/none")))
    assert ask(app, "/readyz") == (
        503,
        {"status": "unavailable", "checks": {"database": "the database does not answer"}},
    )
    assert ask(app, "/livez")[0] == 200


@pytest.mark.parametrize(("revision", "status"), [(None, 503), ("9999", 200)])
def test_the_revision_is_ours_or_a_later_one(runtime: Runtime, app: OpenAPI, revision: str | None, status: int) -> None:
    """A rollback leaves a newer database behind, and must pass."""
    with writing(runtime.engine) as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if revision:
            connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
    assert ask(app, "/readyz")[0] == status


def test_the_version_is_told_to_anyone(app: OpenAPI) -> None:
    """Without a key."""
    assert ask(app, "/version")[1]["name"] == "recharge-relay"


def test_the_api_describes_itself(app: OpenAPI) -> None:
    """As OpenAPI 3.1, without a key."""
    status, told = ask(app, "/openapi.json")
    assert (status, told["openapi"], told["info"]["title"]) == (200, "3.1.0", "Recharge Relay")


def test_figures_are_read_by_any_key(runtime: Runtime, app: OpenAPI) -> None:
    """And by nobody without one."""
    assert app.test_client().get("/metrics").status_code == 401
    caller = Caller(app.test_client(), a_key(runtime.engine, "finance-read"))
    assert caller("GET", "/metrics").status_code == 200


def test_figures_tell_what_waits_and_what_came(runtime: Runtime, admin: Caller) -> None:
    """Backlog and age by endpoint, callbacks by verdict, open breaks by severity, age of heartbeats."""
    shop = an_endpoint(runtime.engine, id="ep_shop")
    gone = an_endpoint(runtime.engine, id="ep_gone", deleted_at=NOON)
    for sequence, state in enumerate(("pending", "sending", "delivered", "dead"), start=1):
        an_event(runtime.engine, sequence)
        a_delivery(runtime.engine, sequence, shop, state=state)
    a_delivery(runtime.engine, 1, gone)
    a_stored_callback(runtime.engine)
    a_heartbeat(runtime.engine, "clock", datetime.now(UTC) - timedelta(seconds=30))
    a_break = {"kind": "duplicate_conflict", "severity": 1, "evidence": "{}", "first_seen": NOON, "last_seen": NOON}
    add(runtime.engine, rows.breaks, id="brk_1", state="open", **a_break)
    add(runtime.engine, rows.breaks, id="brk_2", state="resolved", **a_break)
    told = dict(line.rsplit(" ", 1) for line in admin("GET", "/metrics").text.splitlines() if not line.startswith("#"))
    assert told['relay_delivery_backlog{endpoint="ep_shop"}'] == "2.0"
    assert 'relay_delivery_backlog{endpoint="ep_gone"}' not in told
    assert float(told['relay_delivery_oldest_age_seconds{endpoint="ep_shop"}']) == pytest.approx(
        (datetime.now(UTC) - NOON).total_seconds(), abs=60
    )
    assert told['relay_callbacks_total{reason="bad_signature",verdict="rejected"}'] == "1.0"
    assert told['relay_deliveries_dead{endpoint="ep_shop"}'] == "1.0"
    assert told['relay_breaks_open{severity="1"}'] == "1.0"
    assert 30 <= float(told['relay_heartbeat_age_seconds{kind="clock"}']) < 60


def test_callbacks_are_counted_once_and_never_uncounted(runtime: Runtime) -> None:
    """A flood that is evicted stays counted, and a row that became visible late is not missed."""
    count = figures.VerdictCount()

    def read(now: datetime) -> dict[str, float]:
        with reading(runtime.engine) as connection:
            return {verdict: total for (verdict, _), total in count.read(connection, now=now).items()}

    a_stored_callback(runtime.engine, id=1)
    a_stored_callback(runtime.engine, id=5, received_at=NOON + timedelta(seconds=50))
    assert read(NOON + timedelta(seconds=100)) == {"rejected": 2}
    a_stored_callback(runtime.engine, id=4, received_at=NOON + timedelta(seconds=50))
    assert read(NOON + timedelta(seconds=100)) == {"rejected": 3}
    assert read(NOON + timedelta(hours=1)) == {"rejected": 3}
    with writing(runtime.engine) as connection:
        connection.execute(text("DELETE FROM callbacks"))
    assert read(NOON + timedelta(hours=2)) == {"rejected": 3}
