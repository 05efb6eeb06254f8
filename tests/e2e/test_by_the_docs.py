"""A service that was written from /docs, /openapi.json and /events/catalogue alone consumes events rightly, from real processes."""

from __future__ import annotations

import base64
import hmac
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.system import ADMIN_KEY, System, a_body, a_system, eventually

TOLERANCE_S = 300
PAID = {f"sh-{number}": 1_000_000 * (number + 1) for number in range(12)}


class Service:
    """Knows a URL and a key; everything else is what the relay tells of itself."""

    def __init__(self, relay: str, key: str) -> None:
        self._relay, self._key = relay, key
        self._operations = {
            one["operationId"]: (method.upper(), path)
            for path, methods in self._read("/openapi.json")["paths"].items()
            for method, one in methods.items()
        }
        self._schemas = {
            one["type"]: jsonschema_rs.validator_for(one["schema"]) for one in self._read("/events/catalogue")["data"]
        }
        self._secrets: list[str] = []
        self._versions: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self.credits: dict[str, int] = {}
        self.arrived: list[tuple[str, bytes]] = []
        self.wrong: list[str] = []
        self.to_refuse = 1

    def call(self, operation: str, body: Any = None, query: str = "", **names: str) -> Any:
        """Do what the document calls so."""
        method, path = self._operations[operation]
        return self._read(path.format(**names) + query, method, body)

    def register(self, url: str) -> str:
        made = self.call("create_endpoint", {"url": url})
        self._secrets.append(made["secret"])
        return str(made["id"])

    def rotate(self, endpoint: str) -> None:
        """Without overlap, so that only the new secret can be what verifies."""
        self._secrets = [self.call("rotate_secret", {"overlap_hours": 0}, id=endpoint)["secret"]]

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """What its webhook answers."""
        if not self._is_signed(headers, body):
            return 401
        with self._lock:
            self.arrived.append((headers["webhook-id"], body))
            if self.to_refuse:
                self.to_refuse -= 1
                return 500
            self.read(json.loads(body))
        return 204

    def read(self, event: Any) -> None:
        """Set the credit of an order, unless a later version of it was read."""
        self.wrong += [str(fault) for fault in self._schemas[event["type"]].iter_errors(event)]
        data = event["data"]
        order = (data["namespace"], data["orderid"])
        if data["order_version"] >= self._versions.get(order, 0):
            self._versions[order] = data["order_version"]
            self.credits[data["orderid"]] = data["credited_micros"]

    def feed(self, page: int) -> Iterator[Any]:
        """Every event, in the order of commit."""
        after: int | None = 0
        while after is not None:
            told = self.call("list_events", query=f"?limit={page}&after={after}")
            yield from told["data"]
            after = told["next"]

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        moment = headers["webhook-timestamp"]
        text = f"{headers['webhook-id']}.{moment}.".encode() + body
        wanted = {_signature(secret, text) for secret in self._secrets}
        return abs(time.time() - int(moment)) <= TOLERANCE_S and bool(
            wanted & set(headers["webhook-signature"].split())
        )

    def _read(self, path: str, method: str = "GET", body: Any = None) -> Any:
        asked = urllib.request.Request(self._relay + path, method=method)
        asked.add_header("Authorization", f"Bearer {self._key}")
        if body is not None:
            asked.data = json.dumps(body).encode()
            asked.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)


def _signature(secret: str, text: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """The URL where a service takes its webhooks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(service.take({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_page_says_all_that_such_a_service_was_written_from(postgres_url: str, tmp_path: Path) -> None:
    """It credits each order once under repeats, a failure, a replay and a new secret; the feed tells it the same again."""
    with a_system(postgres_url, tmp_path) as (system, _):
        assert _unsaid(system.request("GET", "/docs")[1].decode()) == [], (
            "nothing in this file may be known from elsewhere"
        )
        service = Service(f"http://127.0.0.1:{system.port}", ADMIN_KEY)
        with listening(service) as url:
            endpoint = service.register(url)
            _pay(system, PAID)
            eventually(lambda: service.credits == PAID, within_s=60, what="every order is credited once")
            bodies = dict(service.arrived)
            assert len(service.arrived) == len(PAID) + 1, "the one that was refused came again"
            service.rotate(endpoint)
            service.call("replay_endpoint", {"only": "all", "rate": 1000}, id=endpoint)
            eventually(lambda: len(service.arrived) > 2 * len(PAID), within_s=60, what="all is sent again")
            assert dict(service.arrived) == bodies, "the same ids, the same bytes"
            assert service.credits == PAID
        fed = Service(f"http://127.0.0.1:{system.port}", ADMIN_KEY)
        told = list(fed.feed(page=5))
        for event in told:
            fed.read({name: event[name] for name in ("type", "timestamp", "data")})
        assert [event["sequence"] for event in told] == sorted({event["sequence"] for event in told})
        assert fed.credits == PAID
        assert service.wrong + fed.wrong == [], "the schemas that are published hold"


def _pay(system: System, paid: dict[str, int]) -> None:
    """Call back for each order three times, as a provider does whose first answers were lost."""
    for _ in range(3):
        for orderid, micros in paid.items():
            assert system.call_back(a_body(orderid, amount=str(micros // 100))) == (200, b"success")


def _unsaid(page: str) -> list[str]:
    """What the service relies on and the page does not say."""
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    needed = (
        "Authorization: Bearer",
        "HMAC-SHA256 over {webhook-id}.{webhook-timestamp}.{body}",
        "base64 after whsec_",
        "five minutes",
        "any 2xx",
        "highest order_version",
        "credited_micros",
        "after the sequence",
        "/events/catalogue",
    )
    return [words for words in needed if words not in text]
