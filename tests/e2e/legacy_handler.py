"""An old handler as merchants write them: verify, credit in a database of its own, answer `success`. It knows of no relay.

Run as `python legacy_handler.py PORT DATABASE`.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "relay-test-secret"
DATABASE = sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    """Takes CrossingPay's callback at /pay."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = dict(urllib.parse.parse_qsl(body))
        sign = fields.pop("sign", "")
        text = "".join(name + fields[name] for name in sorted(fields)) + SECRET
        if self.path != "/pay" or hashlib.sha1(text.encode()).hexdigest().upper() != sign:
            return self.answer("fail")
        credit(fields["orderid"], int(fields["amount"]), fields["localusermark"])
        return self.answer("success")

    def answer(self, word: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(word.encode())

    def log_message(self, *_: object) -> None:
        pass


def credit(orderid: str, amount: int, user: str) -> None:
    """Credit an order that was not credited yet; `amount` counts 1/10,000 USDT."""
    with sqlite3.connect(DATABASE, timeout=10) as connection:
        connection.execute("INSERT OR IGNORE INTO credits VALUES (?, ?, ?, ?)", (orderid, amount, user, time.time()))


if __name__ == "__main__":
    with sqlite3.connect(DATABASE) as first:
        first.execute("CREATE TABLE IF NOT EXISTS credits (orderid TEXT PRIMARY KEY, amount INT, user TEXT, at REAL)")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
