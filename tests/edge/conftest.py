"""A server that answers as a test says, where nodes are asked over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Respond = Callable[[list[dict[str, Any]]], tuple[int, bytes]]


class Server:
    """Answers as a test says, and keeps the headers it was sent."""

    def __init__(self) -> None:
        self.respond: Respond = lambda asked: (200, json.dumps(good(asked)).encode())
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.headers.append(dict(self.headers.items()))
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = outer.respond(asked)
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(BrokenPipeError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep the tests' output quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/KEY"


def good(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result for each call: its method."""
    return [{"jsonrpc": "2.0", "id": one["id"], "result": one["method"]} for one in asked]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine."""
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()
