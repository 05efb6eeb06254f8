"""Own the JSON over loopback that the sandbox's processes speak among themselves.

A web page anywhere can make a browser post to a port of this machine. So a
control route wants a header that a browser only sends after asking, which
nobody here answers, and every route wants to be called by a loopback name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

log = logging.getLogger(__name__)

CONTROL_HEADER = "X-Sandbox"
# A scan asks for the logs of many blocks at once, and names every watched address in each question.
BODY_LIMIT = 1024 * 1024
ANSWER_CAP = 8 * 1024

# No proxy of the environment may stand between two processes of one machine.
_opener = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it: the path, the headers with lower-case names, the bytes, the query."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""

    def value(self) -> Any:
        """The body as JSON; an empty or broken one is an empty object."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            return {}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a status and a JSON value."""

    status: int = 200
    value: Any = None


Handler = Callable[[Call], Reply]


def serve(routes: Mapping[str, Handler], *, port: int, open_paths: frozenset[str] = frozenset()) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1 for `routes` ("POST /book" to a handler); the caller runs `serve_forever`.

    Port 0 takes a free one. A path that ends in `/*` stands for any last
    part. The paths in `open_paths` need no control header.
    """

    class Bound(_Handler):
        table: ClassVar[Mapping[str, Handler]] = routes
        unguarded = open_paths

    return _Server(("127.0.0.1", port), Bound)


def ask(url: str, value: Any = None, *, timeout_s: float = 0.5, headers: Mapping[str, str] | None = None) -> Any:
    """Return the JSON value at a control route: GET, or POST when a value is given. None when nothing useful answers."""
    body = None if value is None else json.dumps(value).encode()
    control = {CONTROL_HEADER: "1", "Content-Type": "application/json"}
    request = Request(url, data=body, headers={**control, **(headers or {})})
    try:
        with _opener.open(request, timeout=timeout_s) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError, HTTPException):
        return None


def post(
    url: str, body: bytes, *, content_type: str, timeout_s: float, headers: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Post as a stranger would; return the status and the start of the answer, or None and the reason there is none."""
    request = Request(url, data=body, headers={"Content-Type": content_type, **(headers or {})})
    try:
        with _opener.open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read(ANSWER_CAP).decode(errors="replace")
    except HTTPError as error:
        with error:
            return error.code, error.read(ANSWER_CAP).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return None, type(error).__name__


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Deliveries come in bursts; the default of five would refuse some.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    table: ClassVar[Mapping[str, Handler]]
    unguarded: ClassVar[frozenset[str]]
    protocol_version = "HTTP/1.1"
    timeout = 75
    # Headers and body leave as one segment: two small writes on a kept connection meet the delayed ack.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            self.close_connection = True
            self._send(Reply(413, {"error": "a length of at most 1 MiB is required"}))
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        route = next((one for one in _patterns(parts.path) if f"{self.command} {one}" in self.table), None)
        if route is None:
            self._send(Reply(404, {"error": "nothing here"}))
        elif not self._is_from_us(route):
            self._send(Reply(403, {"error": "only the sandbox itself may call this"}))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(self.table[f"{self.command} {route}"](Call(parts.path, headers, body, parts.query)))

    def _is_from_us(self, path: str) -> bool:
        if not is_loopback_name(self.headers.get("Host", "")):
            return False
        return path in self.unguarded or CONTROL_HEADER in self.headers

    def _send(self, reply: Reply) -> None:
        body = json.dumps(reply.value).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """The caller's own log tells more; a line for each poll of the board would drown it."""


def _patterns(path: str) -> tuple[str, str]:
    return path, f"{path.rpartition('/')[0]}/*"


def is_loopback_name(host: str) -> bool:
    """Tell whether a Host header names this machine; a name that was rebound to it does not."""
    return urlsplit(f"//{host}").hostname in ("127.0.0.1", "localhost", "::1")
