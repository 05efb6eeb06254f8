"""Own a payment provider that takes no payments: it keeps a book of orders, signs callbacks and posts each one once.

Like the real one it never tries again by itself: a callback that was lost,
or that nobody acknowledged, stays lost until something else notices. Its
knobs misbehave on request: lose, repeat, scale, and forging.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from relay.core.adapters import Adapter
from relay.core.signatures import sign
from relay.sandbox import loopback
from relay.sandbox.loopback import Call, Handler, Reply
from relay.sandbox.plan import Plan, adapter

KNOBS = ("lose", "repeat", "scale")
REPEATS = 3
LATEST = 60
FORM = "application/x-www-form-urlencoded"
ANSWER_WITHIN_S = 10.0
UNIT_MICROS = 100

# What people top up: round sums mostly, some with cents; the large one is above what the sandbox credits unseen.
AMOUNTS = (
    100_000,
    125_000,
    200_000,
    200_000,
    300_000,
    307_500,
    500_000,
    500_000,
    640_000,
    880_000,
    990_000,
    1_000_000,
    1_482_500,
    2_000_000,
    3_500_000,
)
LARGE_AMOUNT = 12_000_000


@dataclass(frozen=True, slots=True)
class Sent:
    """One posting of a callback: when it began (Unix seconds), what came back, and how long that took."""

    at_s: float
    status: int | None
    answer: str
    latency_ms: float


@dataclass(slots=True)
class Entry:
    """One line of the book. `amount` counts ten-thousandths of a USDT, as the callback does.

    `forged_from` names the order whose signature a forgery borrowed: nobody paid for that line.
    """

    orderid: str
    user: str
    amount: int
    placed_at_s: float
    lost: bool = False
    scaled: bool = False
    forged_from: str | None = None
    sent: list[Sent] = field(default_factory=list)


Post = Callable[[bytes], tuple[int | None, str]]


class Provider:
    """The book and what is done with it; all methods may be called from several threads."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        appid: str,
        secret: str,
        post: Post,
        numbers: Callable[[], int],
        seed: int | None = None,
    ) -> None:
        self._adapter = adapter
        self._appid = appid
        self._secret = secret
        self._post = post
        self._numbers = numbers
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=LATEST)
        self._armed = dict.fromkeys(KNOBS, 0)
        self._totals = {"orders": 0, "micros": 0, "lost": 0, "forged": 0}
        self._last_signed: tuple[Entry, bytes] | None = None
        self._started_at_s = time.time()

    def order(self, *, lose: bool = False, repeat: bool = False, large: bool = False) -> Entry:
        """Let somebody pay a new order, and call back once, three times, or not at all."""
        with self._lock:
            amount = LARGE_AMOUNT if large else self._random.choice(AMOUNTS)
            entry = Entry(f"sh-{self._numbers():04d}", str(self._random.randint(10, 999)), amount, time.time())
            entry.lost = self._disarm("lose") or lose
            entry.scaled = self._disarm("scale")
            # A callback that is lost leaves the other knob armed for one that is sent.
            copies = 0 if entry.lost else REPEATS if self._disarm("repeat") or repeat else 1
            self._entries.append(entry)
            self._totals["orders"] += 1
            self._totals["micros"] += amount * UNIT_MICROS
            self._totals["lost"] += entry.lost
        self._call_back(entry, copies)
        return entry

    def forge(self) -> Entry | None:
        """Play the thief: move the last digit of a paying user into the order number, and keep the signature.

        None while there is no signed callback to borrow from.
        """
        with self._lock:
            if self._last_signed is None:
                return None
            genuine, body = self._last_signed
            fields = moved(dict(parse_qsl(body.decode(), keep_blank_values=True)))
            names = self._adapter.names
            entry = Entry(
                fields[names["orderid"]],
                fields[names["user_ref"]],
                genuine.amount,
                time.time(),
                forged_from=genuine.orderid,
            )
            self._entries.append(entry)
            self._totals["forged"] += 1
        entry.sent.append(self._send(urlencode(fields).encode()))
        return entry

    def arm(self, knob: str) -> None:
        """Let the next order meet with what the knob is called after."""
        with self._lock:
            self._armed[knob] += 1

    def book(self) -> dict[str, Any]:
        """The book as JSON: the latest entries, newest first, and totals since the start."""
        with self._lock:
            entries = [asdict(entry) for entry in reversed(self._entries)]
            return {
                "started_at_s": self._started_at_s,
                "armed": dict(self._armed),
                "totals": dict(self._totals),
                "entries": entries,
            }

    def _disarm(self, knob: str) -> bool:
        armed = self._armed[knob] > 0
        self._armed[knob] -= armed
        return armed

    def _call_back(self, entry: Entry, copies: int) -> None:
        if not copies:
            return
        body = self._signed(entry)
        # The copies race each other, as those of a provider with several senders do.
        with ThreadPoolExecutor(copies) as senders:
            sent = list(senders.map(self._send, [body] * copies))
        with self._lock:
            entry.sent.extend(sent)
            if any(one.status == 200 for one in sent):
                self._last_signed = (entry, body)

    def _signed(self, entry: Entry) -> bytes:
        names = self._adapter.names
        fields = {
            names["orderid"]: entry.orderid,
            names["user_ref"]: entry.user,
            names["amount"]: str(entry.amount * (10 if entry.scaled else 1)),
            names["appid"]: self._appid,
            names["occurred_at"]: str(int(entry.placed_at_s)),
        }
        scheme = self._adapter.scheme
        return urlencode({**fields, scheme.name: sign(scheme, self._secret, fields)}).encode()

    def _send(self, body: bytes) -> Sent:
        at_s, began = time.time(), time.perf_counter()
        status, answer = self._post(body)
        return Sent(at_s, status, answer[:64], round((time.perf_counter() - began) * 1000, 1))


def moved(fields: Mapping[str, str]) -> dict[str, str]:
    """Return a signed message with one digit moved from the user to the order number beside it."""
    user, orderid = fields["localusermark"], fields["orderid"]
    return {**fields, "localusermark": user[:-1], "orderid": user[-1] + orderid}


class Numbers:
    """Order numbers that go on where the last start ended, since the relay remembers every order for ever."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> int:
        """Return the next number."""
        number = int(self._path.read_text()) + 1 if self._path.exists() else 1
        self._path.write_text(str(number))
        return number


def routes(provider: Provider) -> dict[str, Handler]:
    """Return the control routes of the sandbox."""

    def book(call: Call) -> Reply:
        return Reply(200, provider.book())

    def order(call: Call) -> Reply:
        asked = call.value()
        return Reply(
            200, asdict(provider.order(**{name: bool(asked.get(name)) for name in ("lose", "repeat", "large")}))
        )

    def forge(call: Call) -> Reply:
        entry = provider.forge()
        return Reply(200, asdict(entry)) if entry else Reply(409, {"error": "nothing was signed yet"})

    def arm(call: Call) -> Reply:
        knob = call.value().get("knob")
        if knob not in KNOBS:
            return Reply(422, {"error": f"one of {', '.join(KNOBS)}"})
        provider.arm(knob)
        return Reply(200, {"ok": True})

    return {"GET /book": book, "POST /orders": order, "POST /forge": forge, "POST /arm": arm}


def main() -> None:
    """Serve the control routes until the process is ended."""
    parser = argparse.ArgumentParser(description="A payment provider for the sandbox, on 127.0.0.1.")
    parser.add_argument("--plan", type=Path, required=True, help="the sandbox's plan file")
    parser.add_argument("--target", required=True, help="where callbacks go")
    given = parser.parse_args()
    plan = Plan.read(given.plan)

    def post(body: bytes) -> tuple[int | None, str]:
        return loopback.post(given.target, body, content_type=FORM, timeout_s=ANSWER_WITHIN_S)

    numbers = Numbers(given.plan.with_name("sandbox-orders"))
    provider = Provider(adapter(), appid=plan.appid, secret=plan.source_secret, post=post, numbers=numbers.take)
    loopback.serve(routes(provider), port=plan.provider_port).serve_forever()


if __name__ == "__main__":
    main()
