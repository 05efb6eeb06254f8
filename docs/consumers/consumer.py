"""A subscriber in Python, with nothing but its standard library: verifies, then credits each order once.

SECRET=whsec_… PORT=9001 DATABASE=credits.db python consumer.py
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
TOLERANCE_S = 300

database = sqlite3.connect(os.environ.get("DATABASE", "credits.db"))
database.execute(
    """CREATE TABLE IF NOT EXISTS credits (
        namespace TEXT, orderid TEXT, user_ref TEXT, version INTEGER, micros INTEGER, PRIMARY KEY (namespace, orderid))"""
)


def verified(headers, body):
    """Whether one of the signatures fits the raw bytes, and the attempt is not old."""
    event_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isascii() or not sent_at.isdigit() or abs(time.time() - int(sent_at)) > TOLERANCE_S:
        return False
    mac = hmac.new(KEY, f"{event_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(mac)
    offered = headers.get("webhook-signature", "").encode().split(b" ")
    return any(hmac.compare_digest(expected, one) for one in offered)


def take(event):
    """Set an order's credit to what its newest version says: repeats and latecomers change nothing."""
    if not event["type"].startswith("recharge."):
        return
    data = event["data"]
    with database:
        database.execute(
            """INSERT INTO credits VALUES (?, ?, ?, ?, ?) ON CONFLICT (namespace, orderid) DO UPDATE
               SET version = excluded.version, micros = excluded.micros WHERE excluded.version > credits.version""",
            (data["namespace"], data["orderid"], data["user_ref"], data["order_version"], data["credited_micros"]),
        )


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not verified(self.headers, body):
            self.answer(401)
            return
        take(json.loads(body))  # whatever it raises is a failure, and we are told again
        self.answer(204)

    def do_GET(self):
        rows = database.execute("SELECT orderid, micros FROM credits").fetchall()
        self.answer(200, json.dumps(dict(rows)).encode())

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9001"))), Handler).serve_forever()
