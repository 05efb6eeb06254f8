"""`relay doctor --public`: whether a callback URL leads here, and what arrives of the caller."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

from config.settings import Settings, load
from relay.bootstrap import build
from relay.cli.reach import reach_all
from relay.web import create_app
from tests.cli.conftest import CommandLine
from tests.edge.listening import listening
from tests.web.conftest import ENVIRONMENT


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """A web process; yields its URL."""
    runtime = build(settings)
    server = make_server("127.0.0.1", 0, create_app(runtime).wsgi_app, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    runtime.engine.dispose()


def verdicts(environment: dict[str, str], url: str) -> list[tuple[str, str]]:
    """What is found at a URL."""
    settings = load(environment | {"PUBLIC_URL": url})
    return [(verdict, detail) for _, verdict, detail in reach_all(settings, at=int(time.time()))]


def test_a_url_that_leads_here_is_told_with_the_caller(sqlite_url: str, redis_url: str) -> None:
    """And the number of proxies where the setting says another."""
    environment = ENVIRONMENT | {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, "TRUSTED_PROXY_HOPS": "0"}
    with serving(load(environment)) as url:
        assert verdicts(environment, url) == [("ok", "seen as 127.0.0.1, behind 0 proxies")]
        stranger = environment | {"SECRET_KEY": "x" * 48}
        assert verdicts(stranger, url) == [("fault", "what answers there does not know this SECRET_KEY")]
    with serving(load(environment | {"TRUSTED_PROXY_HOPS": "1"})) as url:
        assert verdicts(environment, url)[1] == (
            "warning",
            "TRUSTED_PROXY_HOPS is 1 there, and 0 proxies name the caller",
        )


def test_whatever_else_answers_is_a_fault(relay: CommandLine) -> None:
    """Something else, or nobody."""
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(page)

    with listening(talk) as url:
        assert verdicts(relay.environment, url) == [("fault", "something else answers there, with 200")]
    relay.environment["PUBLIC_URL"] = "http://127.0.0.1:1"
    found = [json.loads(line) for line in relay("doctor", "--public", "--json", code=1).stdout.splitlines()]
    assert "cannot be reached: refused" in next(one["detail"] for one in found if one["what"] == "reach crossing")
