"""Own a payment provider that holds no money: a book of orders, each called back once when the chain shows it paid.

Like the real one it never tries again by itself: a callback that was lost,
or that nobody acknowledged, stays lost until something else notices. It
misbehaves on request: KNOBS, forging, and confirming what nobody paid.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from relay.core.callbacks import Status
from relay.sandbox.book import UNIT_MICROS, V1, Entry, Payment, Sent
from relay.sandbox.dialects import VOICES, Account, address_for, spell_callback
from relay.sandbox.loopback import Call, Handler, Reply
from relay.sandbox.shelf import Shelf

# The next callback is not sent, sent three times at once, or says ten times too much.
KNOBS = ("lose", "repeat", "scale")
# What is told of one order after its callback: another amount, another payment of it, that it failed, that half of it was given
# back, or a word that nobody has mapped.
AFTERWARDS = {
    "contradict": (2.0, Status.SUCCEEDED),
    "again": (1.0, Status.SUCCEEDED),
    "regress": (1.0, Status.FAILED),
    "refund": (0.5, Status.REFUNDED),
    "puzzle": (1.0, Status.UNKNOWN),
}
# For one order alone: it is not confirmed to who asks, or denied; signed with another key; told with the amount that was asked
# for, whatever was paid; dated an hour ahead; told with another transaction; told something else afterwards.
TRICKS = (*KNOBS, "hide", "deny", "garble", "claim", "hurry", "misname", *AFTERWARDS)
HURRY_S = 3_600
ANOTHER_TX = "0x" + "e" * 64
REPEATS = 3
STRANGE = "a key of nobody's"
LATEST = 60
# Older orders are looked for no more, so that a sandbox may run for days.
MOST = 5_000


@dataclass(frozen=True, slots=True)
class Request:
    """A callback that is ready to be posted."""

    url: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]


Post = Callable[[Request], tuple[int | None, str]]


class Provider:
    """The book and what is done with it, from any thread. `relay_url` is who is called back; `shelf` keeps the book."""

    def __init__(self, account: Account, *, relay_url: str, post: Post, shelf: Shelf | None = None) -> None:
        self.account = account
        self._relay_url = relay_url
        self._post = post
        self._shelf = shelf or Shelf()
        self._lock = threading.Lock()
        known = self._shelf.lines()
        self._latest = deque(known, maxlen=LATEST)
        self._orders = {entry.orderid: entry for entry in known[-MOST:]}
        self._owners = {entry.address: entry for entry in self._orders.values()}
        self._armed = dict.fromkeys(KNOBS, 0)
        self._armed_for: dict[str, frozenset[str]] = {}
        self._totals = {
            "placed": len(known),
            "orders": sum(entry.payment is not None for entry in known),
            "micros": sum(entry.amount * UNIT_MICROS for entry in known if entry.payment),
            "lost": sum(entry.lost for entry in known),
            "forged": 0,
        }
        self._last_signed: tuple[Entry, Request] | None = None
        self._started_at_s = self._shelf.began(time.time())

    @property
    def unconfirmed(self) -> dict[str, str]:
        """The transactions of payments that wait for their confirmations, by order."""
        with self._lock:
            waiting = [entry for entry in self._orders.values() if not (entry.confirmed or entry.sent)]
            return {entry.orderid: entry.payment.tx_hash for entry in waiting if entry.payment}

    def place(self, order: Entry) -> Entry | None:
        """Put an order into the book, with number and address; None when there is one of its name already."""
        with self._lock:
            if order.orderid in self._orders:
                return None
            # BTCPay's invoices are named by letters and digits alone.
            self._totals["placed"] += 1
            order.number = f"cz{self._totals['placed']}"
            order.address = order.address or address_for(self.account.appid, order.orderid)
            order.callback_url = order.callback_url or f"{self._relay_url}/callbacks/{order.dialect}"
            self._orders[order.orderid] = self._owners[order.address] = order
            self._latest.append(order)
            self._shelf.keep(order)
            if len(self._orders) > MOST:
                oldest = self._orders.pop(next(iter(self._orders)))
                self._owners.pop(oldest.address, None)
            return order

    def find(self, orderid: str) -> Entry | None:
        """Return what the book says of an order now."""
        with self._lock:
            entry = self._orders.get(orderid)
            return None if entry is None else replace(entry)

    def pay(self, address: str, units: int, tx_hash: str) -> str | None:
        """Note that an order's address was paid, in millionths of a USDT; return its number, None where nothing is new."""
        with self._lock:
            entry = self._owners.get(address)
            if entry is None or entry.payment is not None:
                return None
            if "claim" not in self._armed_for.get(entry.orderid, ()):
                entry.amount = units // UNIT_MICROS
            self._note(entry, tx_hash)
            return entry.orderid

    def confirm(self, orderid: str, tx_hash: str) -> bool:
        """Claim a payment that the chain does not show, and call back for it; False for an order that was paid."""
        with self._lock:
            entry = self._orders.get(orderid)
            if entry is None or entry.payment is not None:
                return False
            self._note(entry, tx_hash)
        self.call_back(orderid)
        return True

    def call_back(self, orderid: str) -> None:
        """Take an order's payment for confirmed, and call back: once, three times, or not at all."""
        with self._lock:
            entry, tricks = self._orders[orderid], self._armed_for.pop(orderid, frozenset())
            entry.confirmed, entry.denied = "hide" not in tricks, "deny" in tricks
            entry.lost = "lose" in tricks or self._disarm("lose")
            # A callback that is lost leaves the other knobs armed for one that is sent.
            entry.scaled = "scale" in tricks or (not entry.lost and self._disarm("scale"))
            is_repeated = "repeat" in tricks or (not entry.lost and self._disarm("repeat"))
            self._totals["lost"] += entry.lost
            if "misname" in tricks and entry.payment is not None:
                entry.payment = replace(entry.payment, tx_hash=ANOTHER_TX)
            self._shelf.keep(entry)
        if entry.lost:
            return
        self._send_all(entry, self._spelled(entry, tricks), REPEATS if is_repeated else 1)
        for trick in tricks & AFTERWARDS.keys():
            self._send_all(entry, self._afterwards(entry, trick), 1)

    def forge(self) -> Entry | None:
        """Play the thief: move the last digit of a paying user into the order number, and keep the signature.

        None while there is no signed callback of V1 to borrow from.
        """
        with self._lock:
            if self._last_signed is None:
                return None
            genuine, request = self._last_signed
            fields = moved(dict(parse_qsl(request.body.decode(), keep_blank_values=True)))
            entry = Entry(fields["orderid"], fields["localusermark"], genuine.amount, forged_from=genuine.orderid)
            self._latest.append(entry)
            self._totals["forged"] += 1
        forged = Request(request.url, urlencode(fields).encode(), request.content_type, request.headers)
        entry.sent.append(self._send(forged))
        return entry

    def arm(self, knob: str, orderid: str | None = None) -> None:
        """Let the next callback, or that of one order, meet with what the knob is called after."""
        with self._lock:
            if orderid is None:
                self._armed[knob] += 1
            else:
                self._armed_for[orderid] = self._armed_for.get(orderid, frozenset()) | {knob}

    def book(self) -> dict[str, Any]:
        """The book as JSON: the latest entries, newest first, and totals since the start."""
        with self._lock:
            entries = [asdict(entry) for entry in reversed(self._latest)]
            return {
                "started_at_s": self._started_at_s,
                "armed": dict(self._armed),
                "totals": dict(self._totals),
                "entries": entries,
            }

    def _note(self, entry: Entry, tx_hash: str) -> None:
        entry.payment = Payment(tx_hash, time.time())
        self._totals["orders"] += 1
        self._totals["micros"] += entry.amount * UNIT_MICROS
        self._shelf.keep(entry)

    def _disarm(self, knob: str) -> bool:
        armed = self._armed[knob] > 0
        self._armed[knob] -= armed
        return armed

    def _spelled(self, entry: Entry, tricks: Collection[str]) -> Request:
        account = replace(self.account, secret=STRANGE) if "garble" in tricks else self.account
        if "hurry" in tricks and entry.payment is not None:
            entry = replace(entry, payment=replace(entry.payment, at_s=entry.payment.at_s + HURRY_S))
        return Request(entry.callback_url, *spell_callback(account, entry, now=datetime.now(UTC)))

    def _afterwards(self, entry: Entry, trick: str) -> Request:
        share, status = AFTERWARDS[trick]
        told = replace(entry, amount=int(entry.amount * share))
        if trick == "again" and told.payment is not None:
            told = replace(told, payment=replace(told.payment, tx_hash=ANOTHER_TX))
        return Request(entry.callback_url, *spell_callback(self.account, told, now=datetime.now(UTC), status=status))

    def _send_all(self, entry: Entry, request: Request, copies: int) -> None:
        # The copies race each other, as those of a provider with several senders do.
        with ThreadPoolExecutor(copies) as senders:
            sent = list(senders.map(self._send, [request] * copies))
        with self._lock:
            entry.sent.extend(sent)
            self._shelf.keep(entry)
            if entry.dialect == V1 and any(one.status == 200 for one in sent):
                self._last_signed = (entry, request)

    def _send(self, request: Request) -> Sent:
        at_s, began = time.time(), time.perf_counter()
        status, answer = self._post(request)
        return Sent(at_s, status, answer[:64], round((time.perf_counter() - began) * 1000, 1))


def moved(fields: Mapping[str, str]) -> dict[str, str]:
    """Return a signed message of V1 with one digit moved from the user to the order number beside it."""
    user, orderid = fields["localusermark"], fields["orderid"]
    return {**fields, "localusermark": user[:-1], "orderid": user[-1] + orderid}


def routes(provider: Provider) -> dict[str, Handler]:
    """Return the control routes of the sandbox."""

    def book(call: Call) -> Reply:
        return Reply(200, provider.book())

    def place(call: Call) -> Reply:
        asked = call.value()
        if asked.get("dialect") not in VOICES:
            return Reply(422, {"error": f"one of {', '.join(VOICES)}"})
        order = Entry(asked["orderid"], asked["user"], asked["amount"], dialect=asked["dialect"])
        order.callback_url = asked.get("callback_url", "")
        placed = provider.place(order)
        return Reply(409, {"error": "the order exists"}) if placed is None else Reply(200, asdict(placed))

    def forge(call: Call) -> Reply:
        entry = provider.forge()
        return Reply(200, asdict(entry)) if entry else Reply(409, {"error": "nothing was signed yet"})

    def arm(call: Call) -> Reply:
        knob, orderid = call.value().get("knob"), call.value().get("orderid")
        possible = TRICKS if orderid else KNOBS
        if knob not in possible:
            return Reply(422, {"error": f"one of {', '.join(possible)}"})
        provider.arm(knob, orderid)
        return Reply(200, {"ok": True})

    def confirm(call: Call) -> Reply:
        is_done = provider.confirm(call.value()["orderid"], call.value()["tx_hash"])
        return Reply(200, {"ok": True}) if is_done else Reply(409, {"error": "no order, or one that was paid"})

    return {
        "GET /book": book,
        "POST /orders": place,
        "POST /forge": forge,
        "POST /arm": arm,
        "POST /confirm": confirm,
    }
