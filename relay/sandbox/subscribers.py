"""Own three sample subscribers: each checks the signature, credits an order once, and keeps a ledger that proves it.

What a real consumer needs is all here and small: `verify` (Standard Webhooks
1.0) and `Ledger.take`. The third, billing, is unwell on purpose: about one
first attempt in five gets a 503, some are slow.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.sandbox.loopback import Call, Handler, Reply, serve
from relay.sandbox.plan import SUBSCRIBERS, Plan

TOLERANCE_S = 300
SICK_SHARE = 0.2
SLOW_SHARE = 0.1
SLOW_S = 0.4
LATEST = 200


class Refused(Exception):
    """A webhook whose signature does not hold."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """Return the webhook's id, or raise Refused.

    Any `v1` entry of the list may match; entries of other versions are
    passed over. Source: Standard Webhooks 1.0, "Verifying signatures".
    """
    webhook_id, stamp, entries = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not webhook_id or not (stamp.isascii() and stamp.isdecimal()):
        raise Refused("a header is missing")
    if abs(now_s - int(stamp)) > TOLERANCE_S:
        raise Refused("too old or too new")
    expected = hmac.new(_key(secret), b".".join((webhook_id.encode(), stamp.encode(), body)), hashlib.sha256).digest()
    given = (entry.removeprefix("v1,") for entry in entries.split(" ") if entry.startswith("v1,"))
    # Every entry is compared, also behind one that matched, so that the time taken tells nothing.
    matches = [hmac.compare_digest(expected, _decoded(text)) for text in given]
    if not any(matches):
        raise Refused("no signature matches")
    return webhook_id


def _key(secret: str) -> bytes:
    """The bytes behind `whsec_…`; padding may be left out."""
    key = _decoded(secret.removeprefix("whsec_"))
    if not key:
        raise Refused("the secret is empty")
    return key


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


@dataclass
class Ledger:
    """One subscriber's own records. Amounts are micro-USDT.

    `twice` counts orders that a second event asked to credit again, and
    `altered` ids that came back with other bytes: the relay promises that
    both stay 0. `repeats` counts the same id with the same bytes, which at
    least once delivery allows.
    """

    credited: dict[str, int] = field(default_factory=dict)
    webhooks: dict[str, bytes] = field(default_factory=dict)
    credited_micros: int = 0
    repeats: int = 0
    twice: int = 0
    altered: int = 0
    refused: int = 0

    def take(self, webhook_id: str, body: bytes) -> None:
        """Take in one verified webhook; the order, not the webhook, is what is credited once."""
        digest = hashlib.sha256(body).digest()
        if webhook_id not in self.webhooks:
            self.webhooks[webhook_id] = digest
            self._credit(json.loads(body))
        elif self.webhooks[webhook_id] == digest:
            self.repeats += 1
        else:
            self.altered += 1

    def _credit(self, event: Mapping[str, Any]) -> None:
        if event.get("type") != "recharge.succeeded":
            return
        orderid, micros = event["data"]["orderid"], event["data"]["credited_micros"]
        if orderid in self.credited:
            self.twice += 1
            return
        self.credited[orderid] = micros
        self.credited_micros += micros

    def view(self) -> dict[str, Any]:
        """The records as JSON, with the latest credits only."""
        latest = dict(list(self.credited.items())[-LATEST:])
        counts = {name: getattr(self, name) for name in ("credited_micros", "repeats", "twice", "altered", "refused")}
        return {"orders": len(self.credited), "credited": latest, **counts}


class Subscriber:
    """A service behind one URL, with the secret its endpoint was registered with."""

    def __init__(
        self,
        name: str,
        secret: str,
        *,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.secret = secret
        self.ledger = Ledger()
        self._lock = threading.Lock()
        self._met: set[str] = set()
        self._down = 0
        self._ignored: dict[str, int] = {}
        self._is_unwell = name == "billing"
        self._chance = chance
        self._sleep = sleep

    def receive(self, call: Call) -> Reply:
        """Answer one delivery: 401 for a signature that does not hold, 503 when unwell, else 200."""
        try:
            webhook_id = verify(self.secret, call.headers, call.body, now_s=time.time())
        except Refused as error:
            with self._lock:
                self.ledger.refused += 1
            return Reply(401, {"error": str(error)})
        if self._is_failing(webhook_id, call.body):
            return Reply(503, {"error": "billing is being restarted"})
        with self._lock:
            self.ledger.take(webhook_id, call.body)
        return Reply(200, {"ok": True})

    def go_down(self, webhooks: int) -> None:
        """Refuse the first attempt of that many webhooks to come."""
        with self._lock:
            self._down = max(0, webhooks)

    def ignore(self, orderid: str, attempts: int) -> None:
        """Refuse that many attempts to tell of an order's credit."""
        with self._lock:
            self._ignored[orderid] = max(0, attempts)

    def _is_failing(self, webhook_id: str, body: bytes) -> bool:
        """Only first attempts fail, so that the next one on the schedule shows the recovery, but for orders that are ignored."""
        with self._lock:
            if self._ignored and self._is_ignored(json.loads(body)):
                self._met.add(webhook_id)
                return True
            if webhook_id in self._met:
                return False
            self._met.add(webhook_id)
            if self._down:
                self._down -= 1
                return True
        if not self._is_unwell:
            return False
        if self._chance() < SLOW_SHARE:
            self._sleep(SLOW_S)
        return self._chance() < SICK_SHARE

    def _is_ignored(self, event: Mapping[str, Any]) -> bool:
        orderid = str(event["data"].get("orderid"))
        if event.get("type") != "recharge.succeeded" or not self._ignored.get(orderid):
            return False
        self._ignored[orderid] -= 1
        return True


def routes(subscribers: Mapping[str, Subscriber]) -> dict[str, Handler]:
    """Return the routes: `POST /hooks/<name>` for the relay, the rest for the sandbox."""

    def view(call: Call) -> Reply:
        return Reply(200, {name: subscriber.ledger.view() for name, subscriber in subscribers.items()})

    def down(call: Call) -> Reply:
        asked = call.value()
        subscribers[asked["name"]].go_down(int(asked["webhooks"]))
        return Reply(200, {"ok": True})

    def ignore(call: Call) -> Reply:
        asked = call.value()
        subscribers[asked["name"]].ignore(asked["orderid"], int(asked["attempts"]))
        return Reply(200, {"ok": True})

    hooks: dict[str, Handler] = {f"POST /hooks/{name}": subscriber.receive for name, subscriber in subscribers.items()}
    return {**hooks, "GET /ledgers": view, "POST /down": down, "POST /ignore": ignore}


def main() -> None:
    """Serve the three until the process is ended."""
    parser = argparse.ArgumentParser(description="Three sample subscribers on 127.0.0.1.")
    parser.add_argument("--plan", type=Path, required=True)
    plan = Plan.read(parser.parse_args().plan)
    subscribers = {name: Subscriber(name, plan.endpoint_secrets[name]) for name in SUBSCRIBERS}
    hooks = frozenset(f"/hooks/{name}" for name in SUBSCRIBERS)
    serve(routes(subscribers), port=plan.subscribers_port, open_paths=hooks).serve_forever()


if __name__ == "__main__":
    main()
