"""Own how the sandbox's provider speaks: which dialects, how each calls back, takes an order, and tells what became of one."""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from relay.core.adapters import Adapter, parse_adapter
from relay.core.amounts import format_micros, parse_usdt
from relay.core.callbacks import Callback, Status
from relay.core.rendering import Rendered, render
from relay.core.signatures import sign
from relay.sandbox.book import UNIT_MICROS, V1, V2, Entry
from relay.sandbox.loopback import Call, Handler, Reply

# The source that a dialect's callbacks come to, and the preset it is spoken by.
DIALECTS = {
    V1: "crossingpay-v1",
    V2: "crossingpay-v2",
    "epusdt": "epusdt",
    "shkeeper": "shkeeper",
    "btcpay": "btcpay",
}
# Spoken in one story alone: it tells refunds, as none of the others does.
REFUNDING = "refunding"
VOICES = {**DIALECTS, REFUNDING: "coinpayments-v1"}
# A word for a status that no adapter has.
UNMAPPED = "7"
STORE = "sandbox"

_ADAPTERS = Path(__file__).resolve().parents[2] / "config" / "adapters.toml"


@dataclass(frozen=True, slots=True)
class Account:
    """The merchant's account at the provider: one for all dialects."""

    appid: str
    secret: str = field(repr=False)


# Puts an order into the book and returns it with number and address; None for one that is there already.
Place = Callable[[Entry], Entry | None]
Find = Callable[[str], Entry | None]


@cache
def adapter(dialect: str) -> Adapter:
    """Return the preset by which a dialect is spoken."""
    name = VOICES[dialect]
    return parse_adapter(name, tomllib.loads(_ADAPTERS.read_text())[name])


def address_for(appid: str, orderid: str) -> str:
    """Return the deposit address that the provider keeps for an order; it has the only key to it, and nobody else."""
    return "0x" + hashlib.sha256(f"{appid}/{orderid}".encode()).hexdigest()[:40]


def spell_callback(account: Account, entry: Entry, *, now: datetime, status: Status = Status.SUCCEEDED) -> Rendered:
    """Return body, content type and headers of the callback for a payment; ten times too much of one that is scaled."""
    payment, spoken = entry.payment, adapter(entry.dialect)
    if status is Status.UNKNOWN:
        spoken = replace(spoken, statuses={UNMAPPED: Status.UNKNOWN})
    micros = entry.amount * UNIT_MICROS
    paid = Callback(
        source=entry.dialect,
        namespace=entry.dialect,
        orderid=entry.orderid,
        status=status,
        amount_micros=micros * 10 if entry.scaled else micros,
        amount_raw="",
        unit_micros=UNIT_MICROS,
        appid=account.appid,
        user_ref=entry.user,
        provider_order_id=entry.number,
        tx_hash=payment.tx_hash if payment else None,
        occurred_at=datetime.fromtimestamp(payment.at_s, UTC) if payment else now,
    )
    return render(spoken, account.secret, paid, now, address=entry.address)


def routes(account: Account, place: Place, find: Find) -> dict[str, Handler]:
    """Return the routes that a merchant calls. They are open to strangers: each checks key or signature itself."""
    desk = _Desk(account, place, find)
    return {
        "POST /api/merchant/TraderRechargeorder": desk.make_v1,
        "POST /api/merchant/orderstatus": desk.show_v1,
        "POST /api/orders/monitor": desk.make_v2,
        "POST /api/orders/deposit": desk.make_v2,
        "GET /api/v1/invoices/*": desk.show_shkeeper,
        f"GET /api/v1/stores/{STORE}/invoices": desk.show_btcpay,
    }


@dataclass(frozen=True, slots=True)
class _Desk:
    """Answers merchants, each in its own dialect."""

    account: Account
    place: Place
    find: Find

    def make_v1(self, call: Call) -> Reply:
        fields = self._signed(call)
        if fields is None:
            return _refused_v1("sign error")
        try:
            order = Entry(fields["orderid"], fields["localusermark"], _units(fields["amount"]))
            order.address, order.callback_url = fields["address"].lower(), fields["notify_url"]
        except (KeyError, ValueError) as error:
            return _refused_v1(f"param error: {error}")
        placed = self.place(order)
        if placed is None:
            return _refused_v1("orderid exists")
        return Reply(200, {"status": 1, "data": {"msg": "Operation successful", "ordersn": placed.number}})

    def show_v1(self, call: Call) -> Reply:
        fields = self._signed(call)
        if fields is None:
            return _refused_v1("sign error")
        order = self.find(fields.get("orderid", ""))
        if order is None:
            return _refused_v1("no such order")
        said: dict[str, Any] = {"orderid": order.orderid, "ordersn": order.number, "status": 0}
        if order.denied:
            said["status"] = 2
        elif order.paid:
            told = {"amount": _usdt(order), "txid": order.paid.tx_hash, "t": int(order.paid.at_s)}
            said |= {"status": 1, **told}
        return Reply(200, {"status": 1, "data": said})

    def make_v2(self, call: Call) -> Reply:
        """A watch of the merchant's address and a deposit to the provider's differ in whether an address is needed."""
        fields = call.value()
        if not isinstance(fields, dict) or not self._is_key(str(fields.get("apikey"))):
            return Reply(200, {"error": "apikey is wrong"})
        try:
            order = Entry(str(fields["order_id"]), "", _units(str(fields["amount"])), dialect=V2)
            address = fields["address"] if call.path.endswith("/monitor") else fields.get("address", "")
            order.address, order.callback_url = str(address).lower(), str(fields["callback"])
        except (KeyError, ValueError) as error:
            return Reply(200, {"error": f"param error: {error}"})
        placed = self.place(order)
        if placed is None:
            return Reply(200, {"error": "order_id exists"})
        return Reply(200, {"Ordersn": placed.number, "address": placed.address})

    def show_shkeeper(self, call: Call) -> Reply:
        if not self._is_key(call.headers.get("x-shkeeper-api-key", "")):
            return Reply(200, {"status": "error", "message": "Bad API key"})
        order = self.find(call.path.rpartition("/")[2])
        listed = [{"external_id": order.orderid, "status": "PAID" if order.paid else "UNPAID"}] if order else []
        return Reply(200, {"status": "success", "invoices": listed})

    def show_btcpay(self, call: Call) -> Reply:
        if not self._is_key(call.headers.get("authorization", "").removeprefix("token ")):
            return Reply(401, {"code": "unauthenticated", "message": "Authentication is required"})
        order = self.find(dict(parse_qsl(call.query)).get("orderId", ""))
        if order is None:
            return Reply(200, [])
        invoice = {
            "id": order.number,
            "status": "Settled" if order.paid else "New",
            "metadata": {"orderId": order.orderid},
            "paidAmount": _usdt(order) if order.paid else "0",
            "createdTime": int(order.placed_at_s),
        }
        return Reply(200, [invoice])

    def _signed(self, call: Call) -> Mapping[str, str] | None:
        """The fields of a request of V1 whose signature holds."""
        fields = dict(parse_qsl(call.body.decode(errors="replace"), keep_blank_values=True))
        scheme = adapter(V1).scheme
        given = fields.pop(scheme.name, "")
        wanted = sign(scheme, self.account.secret, fields)
        return fields if hmac.compare_digest(wanted.encode(), given.encode()) else None

    def _is_key(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.account.secret.encode())


def _refused_v1(error: str) -> Reply:
    return Reply(200, {"status": 0, "err": error})


def _usdt(order: Entry) -> str:
    whole, _, fraction = format_micros(order.amount * UNIT_MICROS).partition(".")
    places = fraction.rstrip("0")
    return f"{whole}.{places}" if places else whole


def _units(amount: str) -> int:
    units, rest = divmod(parse_usdt(amount), UNIT_MICROS)
    if rest or not units:
        raise ValueError("amount")
    return units
