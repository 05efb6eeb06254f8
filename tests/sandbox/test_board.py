from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.settings import load
from relay.bootstrap import build
from relay.sandbox import loopback
from relay.sandbox.board import blueprint
from relay.sandbox.book import Entry
from relay.sandbox.dialects import Account
from relay.sandbox.plan import Plan, prepare
from relay.sandbox.provider import Provider, Request, routes
from relay.web import create_app
from tests.sandbox.built import pay
from tests.sandbox.served import serving


def accept(request: Request) -> tuple[int, str]:
    """All that this provider sees of a relay."""
    return 200, "success"


HERE = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def provider() -> Provider:
    """A provider whose callbacks are all accepted by nobody in particular."""
    return Provider(Account("A1", "a secret"), relay_url="http://relay", post=accept)


@pytest.fixture
def plan(provider: Provider, tmp_path: Path) -> Iterator[Plan]:
    """The plan of a sandbox whose provider really runs; its subscribers do not."""
    made = prepare(tmp_path / "plan.json")
    with serving(loopback.serve(routes(provider), port=made.provider_port)):
        yield made


@pytest.fixture
def children(tmp_path: Path) -> Path:
    """Where the supervisor would list its children."""
    return tmp_path / "children.json"


@pytest.fixture
def client(plan: Plan, children: Path, sqlite_url: str, redis_url: str) -> Iterator[FlaskClient]:
    """A browser's view of the sandbox: the production application with the board."""
    settings = load({**plan.environment(), "DATABASE_URL": sqlite_url, "REDIS_URL": redis_url})
    runtime = build(settings)
    app = create_app(runtime)
    app.register_blueprint(blueprint(runtime, plan, children=children))
    yield app.test_client()
    runtime.engine.dispose()


def press(client: FlaskClient, act: str, **headers: str) -> TestResponse:
    return client.post(f"/sandbox/{act}", headers={**HERE, **headers})


def test_the_board_is_at_the_root_and_asks_for_itself_again(client: FlaskClient, provider: Provider) -> None:
    """By a header of its own; scripts are not allowed at all."""
    pay(provider, Entry("sh-1", "12", 100_000))
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Refresh"]) == (200, "3")
    assert "1 order paid, 0 credited, 1 on the way" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_the_page_has_neither_inline_style_nor_script(client: FlaskClient, provider: Provider) -> None:
    """The policy would refuse them."""
    pay(provider, Entry("sh-1", "12", 100_000))
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", client.get("/").text)


def test_a_reader_can_hold_it_still(client: FlaskClient) -> None:
    """Nothing moves until asked to."""
    answer = client.get("/?still=1")
    assert "Refresh" not in answer.headers
    assert "Go on updating" in answer.text


@pytest.mark.parametrize("act", ["lose", "repeat"])
def test_a_button_arms_the_provider_and_says_so(client: FlaskClient, provider: Provider, act: str) -> None:
    """Post, redirect, get: a reload presses nothing."""
    answer = press(client, act)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/?said={act}")
    assert provider.book()["armed"][act] == 1
    assert "armed" in client.get(answer.headers["Location"]).text


def test_forging_needs_a_callback_to_borrow_from(client: FlaskClient, provider: Provider) -> None:
    """Before the first one the button says that it did not work."""
    assert press(client, "forge").headers["Location"] == "/?said=failed"
    pay(provider, Entry("sh-1", "12", 100_000))
    assert press(client, "forge").headers["Location"] == "/?said=forge"
    assert provider.book()["totals"]["forged"] == 1


def test_flushing_empties_redis(client: FlaskClient, redis_url: str) -> None:
    """Wholly."""
    with redis.Redis.from_url(redis_url) as memory:
        memory.set("a", "1")
        assert press(client, "flush-redis").headers["Location"] == "/?said=flush-redis"
        assert memory.dbsize() == 0


def test_killing_ends_the_worker_the_supervisor_listed(client: FlaskClient, children: Path) -> None:
    """At once, and its whole group; without a supervisor the button says that it did not work."""
    assert press(client, "kill-worker").headers["Location"] == "/?said=failed"
    worker = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env=dict(os.environ), process_group=0
    )
    children.write_text(json.dumps({"worker": {"pid": worker.pid, "starts": 1, "since_s": 0}}))
    assert press(client, "kill-worker").headers["Location"] == "/?said=kill-worker"
    assert worker.wait(timeout=10) == -9


STRANGERS = {
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another port of this machine": {"Origin": "http://localhost:9999", "Sec-Fetch-Site": "same-site"},
    "an old browser from elsewhere": {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
    "an origin that is hidden": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "a name rebound to this machine": {"Host": "evil.example", "Origin": "http://evil.example"},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_no_other_page_presses_a_button(client: FlaskClient, provider: Provider, headers: dict[str, str]) -> None:
    """Forbidden, and nothing happens."""
    assert press(client, "lose", **headers).status_code == 403
    assert provider.book()["armed"]["lose"] == 0


def test_who_does_not_say_where_from_presses_nothing(client: FlaskClient) -> None:
    """Browsers always say it of a form."""
    assert client.post("/sandbox/lose").status_code == 403


def test_a_rebound_name_does_not_even_read(client: FlaskClient) -> None:
    """The board is for this machine."""
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_an_unknown_button_is_not_there(client: FlaskClient) -> None:
    """And a button is not followed by a link."""
    assert press(client, "everything").status_code == 404
    assert client.get("/sandbox/lose").status_code == 405


def test_what_the_query_says_is_never_shown(client: FlaskClient) -> None:
    """Only our own sentences are."""
    assert "evil" not in client.get("/?said=<b>evil</b>").text
