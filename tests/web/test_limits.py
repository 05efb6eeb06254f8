"""A key is told how often it may call, and refused beyond."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.web import create_app
from relay.web.limits import QUOTA
from tests.web.conftest import ADMIN_KEY, Caller


def caller(runtime: Runtime, count: int | None) -> Caller:
    """A caller whose calls were counted so far."""
    memory: Any = SimpleNamespace(count=lambda *_, **__: count)
    return Caller(create_app(replace(runtime, memory=memory)).test_client(), ADMIN_KEY)


def test_each_answer_tells_what_is_left(app: OpenAPI, admin: Caller) -> None:
    """By a counter that all processes share."""
    left = [admin("GET", "/v1/sources").headers["RateLimit"].split(";")[1] for _ in range(2)]
    assert left in ([f"r={QUOTA - 1}", f"r={QUOTA - 2}"], [f"r={QUOTA - 1}"] * 2), "a minute may end in between"
    assert admin("GET", "/v1/sources").headers["RateLimit-Policy"] == f'"key";q={QUOTA};w=60'
    assert "RateLimit" not in app.test_client().get("/livez").headers


def test_beyond_the_quota_a_key_waits(runtime: Runtime) -> None:
    """429 says for how long."""
    answer = caller(runtime, QUOTA + 1)("GET", "/v1/sources")
    assert (answer.status_code, answer.get_json()["code"]) == (429, "too_many")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit"] == f'"key";r=0;t={answer.headers["Retry-After"]}'


@pytest.mark.parametrize(("count", "status"), [(QUOTA, 200), (None, 200)])
def test_the_last_call_passes_and_so_does_all_without_redis(runtime: Runtime, count: int | None, status: int) -> None:
    """Who cannot count refuses nobody."""
    assert caller(runtime, count)("GET", "/v1/sources").status_code == status
