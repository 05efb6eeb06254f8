"""A provider on real sockets: it keeps a book of orders, and behaves as badly as it is told to."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from relay.core.signatures import sign
from tests.core.calling import SECRET, a_called_source


class FakeProvider:
    """Plays a crossingpay-v1 account over HTTP: makes orders, and answers what became of them.

    `before` may answer in its stead: it is given the path and returns status
    and body, or None to go on; `after` runs before the answer leaves, when
    the order is in the book.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.book: dict[str, dict[str, str]] = {}
        self.paid: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[float, str, dict[str, str]]] = []
        self.before: Callable[[str], tuple[int, bytes] | None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str, fields: dict[str, str]) -> tuple[int, bytes]:
        """Take a request."""
        with self._lock:
            self.asked.append((time.monotonic(), path, fields))
        early = self.before(path)
        if early is not None:
            return early
        value = self._create(fields) if path == "/api/merchant/TraderRechargeorder" else self._show(fields)
        self.after(path)
        return 200, json.dumps(value).encode()

    def _create(self, fields: dict[str, str]) -> dict[str, Any]:
        if not _is_signed(fields):
            return {"status": 0, "err": "sign error"}
        with self._lock:
            if fields["orderid"] in self.book:
                return {"status": 0, "err": "orderid exists"}
            self.book[fields["orderid"]] = fields
            return {"status": 1, "data": {"msg": "Operation successful", "ordersn": f"cz-{len(self.book)}"}}

    def _show(self, fields: dict[str, str]) -> dict[str, Any]:
        if not _is_signed(fields):
            return {"status": 0, "err": "sign error"}
        orderid = fields["orderid"]
        if orderid not in self.book:
            return {"status": 0, "err": "no such order"}
        paid = self.paid.get(orderid, {"status": 0})
        return {"status": 1, "data": {"orderid": orderid, "ordersn": "cz-1", **paid}}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, answer = provider.answer(self.path, dict(parse_qsl(body.decode(), keep_blank_values=True)))
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    if status == 302:
                        self.send_header("Location", "/api/merchant/TraderRechargeorder")
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _is_signed(fields: dict[str, str]) -> bool:
    signed = {name: value for name, value in fields.items() if name != "sign"}
    return sign(a_called_source().adapter.scheme, SECRET, signed) == fields.get("sign")
