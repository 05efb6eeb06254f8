"""Every field of every operation refuses what it must not hold: 422 with the pointer to the field, and nothing is changed.

What to send is read from the document, so that a route which comes is tried too.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from relay.bootstrap import Runtime
from relay.web import create_app
from relay.web.limits import QUOTA
from tests.web.conftest import ADMIN_KEY
from tests.web.described import fields, filled, nested, operations, parameters, types_of, wrong_texts, wrong_values


class Target:
    """An application and the file it writes to."""

    def __init__(self, client: FlaskClient, path: Path) -> None:
        self._client = client
        self._path = path

    def answer(self, method: str, url: str, **sent: Any) -> tuple[int, list[str], bool]:
        """Status, pointers, and whether anything was written."""
        with closing(sqlite3.connect(self._path)) as watcher:
            before = watcher.execute("PRAGMA data_version").fetchone()
            found = self._client.open(url, method=method, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, **sent)
            changed = watcher.execute("PRAGMA data_version").fetchone() != before
        errors = (found.get_json(silent=True) or {}).get("errors", [])
        return found.status_code, [one["pointer"] for one in errors], changed

    def assert_refused(self, method: str, url: str, pointer: str, **sent: Any) -> None:
        status, pointers, changed = self.answer(method, url, **sent)
        assert (status, changed) == (422, False), (method, url, sent)
        assert any(one == pointer or one.startswith(f"{pointer}/") for one in pointers), (pointers, pointer, sent)


@pytest.fixture(scope="module")
def target(lasting: tuple[Runtime, Path]) -> Target:
    """One application for all; bad input leaves nothing behind."""
    runtime, path = lasting
    return Target(create_app(runtime).test_client(), path)


@pytest.fixture(autouse=True)
def _no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.web.limits.QUOTA", 1_000 * QUOTA)


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_what_no_route_reads_is_refused(target: Target, method: str, path: str, operation: Any) -> None:
    """In the query, and in the body of what changes something."""
    url = filled(path)
    target.assert_refused(method, f"{url}?no_such=1", "/no_such")
    if method != "get" and not path.endswith("/import"):
        target.assert_refused(method, url, "/no_such", json={"no_such": 1})


@pytest.mark.parametrize(("method", "path", "operation"), operations(having="query"))
def test_a_query_says_each_thing_once_and_as_its_type(target: Target, method: str, path: str, operation: Any) -> None:
    """A parameter twice, of another type, too long, out of its range, with a NUL, or no UTF-8."""
    for name, schema in parameters(operation, "query").items():
        url = filled(path)
        target.assert_refused(method, f"{url}?{name}=1&{name}=1", f"/{name}")
        assert target.answer(method, f"{url}?{name}=%ff")[0] == 422
        for text in wrong_texts(schema):
            target.assert_refused(method, f"{url}?{name}={quote(text)}", f"/{name}")


@pytest.mark.parametrize(("method", "path", "operation"), operations(having="path"))
def test_a_name_in_a_path_is_bounded(target: Target, method: str, path: str, operation: Any) -> None:
    """Too long or with a NUL, it is refused before anything is looked up."""
    for name, schema in parameters(operation, "path").items():
        texts = ["9" * 30] if "integer" in types_of(schema) else ["x" * 501, "a\0b"]
        for text in texts:
            url = filled(path.replace(f"{{{name}}}", quote(text)))
            status, pointers, changed = target.answer(method, url, json=None if method == "get" else {})
            assert (status, changed) == (422, False), url
            assert f"/{name}" in pointers


@pytest.mark.parametrize(("method", "path", "operation"), operations(body=True))
def test_a_body_says_each_thing_once_and_as_its_type(target: Target, method: str, path: str, operation: Any) -> None:
    """Each field, those within others too."""
    url = filled(path)
    (media,) = operation["requestBody"]["content"].values()
    for steps, schema in fields(media["schema"], ()):
        pointer = "".join(f"/{step}" for step in steps)
        for value in wrong_values(schema):
            target.assert_refused(
                method, url, pointer, data=json.dumps(nested(steps, value)), content_type="application/json"
            )
        twice = json.dumps(nested(steps, 1)).replace(f'"{steps[-1]}": 1', f'"{steps[-1]}": 1, "{steps[-1]}": 2')
        target.assert_refused(method, url, pointer, data=twice, content_type="application/json")
        if len(steps) > 1:
            target.assert_refused(method, url, f"/{steps[0]}/no_such", json=nested((*steps[:-1], "no_such"), 1))


@pytest.mark.parametrize(("method", "path", "operation"), operations(body=True))
@pytest.mark.parametrize(
    "sent",
    [
        "{",
        "[]",
        "7",
        '"{}"',
        '"text"',
        "[" * 100_000,
        '{"a": ' * 10_000,
        "{}".encode("utf-16"),
        b'{"\xff": 1}',
        b"\xef\xbb\xbf{}",
    ],
    ids=["cut", "list", "number", "json_in_text", "text", "deep_list", "deep_object", "utf16", "latin", "mark"],
)
def test_what_is_no_object_is_malformed(
    target: Target, method: str, path: str, operation: Any, sent: str | bytes
) -> None:
    """400, as no field can be pointed at."""
    status, _, changed = target.answer(method, filled(path), data=sent, content_type="application/json")
    assert (status, changed) == (400, False)
