"""Own the making of trouble on request: each story is an order, or money, that ends in one class of break.

While `make run` runs: `python -m relay sandbox make missing_callback`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relay.sandbox.book import UNIT_MICROS, V1, V2
from relay.sandbox.chain import FINE, LAG, MAKER
from relay.sandbox.chain.driver import ChainAway, SandboxChain
from relay.sandbox.dialects import address_for
from relay.sandbox.loopback import ask
from relay.sandbox.plan import ABROAD, CHAIN, FOREIGN, SOURCE, Plan
from relay.sandbox.shop import Order, Shop, shop_of

AMOUNT = 300_000
# A USDT, in base units.
USDT = 1_000_000
# More base units than any account of the chain holds.
TOO_MUCH = 10**18
WITHIN_S = 20.0
EXPIRES_IN_S = 3.0
# A dialect whose orders are made elsewhere.
OTHER = "epusdt"
# More blocks than the chain will have, and longer than its finality may take: window and grace.
STILL, STILL_S = 10**9, 120.0


class NotMade(Exception):
    """A part of the sandbox does not answer, or refuses; the text says which."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What stories are played with: the shop, its chain, the provider's controls. No other user pays from `actor`."""

    shop: Shop
    chain: SandboxChain
    plan: Plan

    @property
    def actor(self) -> str:
        """The account that stories pay from."""
        return self.chain.accounts[-1]

    def order(self, *tricks: str, dialect: str = V1, expires_at: str = "") -> Order:
        """Have an order of thirty USDT made, which the provider will play tricks with."""
        order = self.shop.order(dialect, amount=AMOUNT, expires_at=expires_at)
        if order is None:
            raise NotMade("the order was not made")
        for trick in tricks:
            self.control("arm", {"knob": trick, "orderid": order.orderid})
        return order

    def pay(self, order: Order, *, units: int = AMOUNT) -> str:
        """Pay an order, thirty USDT unless told otherwise; return the transaction's hash once it is in a block."""
        return self.send(order.address, units * UNIT_MICROS)

    def send(self, address: str, base_units: int) -> str:
        """Move tokens; return the transaction's hash once it is in a block."""
        return self.mined(self.chain.transfer(self.actor, address, base_units))

    def book(self, address: str, role: str, **about: str) -> str:
        """Enter an address into the relay's book; return it."""
        if not self.shop.tell("/v1/addresses/import", {"chain": CHAIN, "address": address, "role": role, **about}):
            raise NotMade("the address was not booked")
        return address

    def nobodys(self) -> str:
        """An address of a user's own that no order names, in the book."""
        return self.book(
            address_for(self.plan.appid, f"nobody's at {time.time()}"), "deposit", owner="12", source=SOURCE
        )

    def measured(self) -> str:
        """An address of the book that holds something, whose balance was measured and is not in doubt."""
        for line in self.shop.list(f"/v1/balances?chain={CHAIN}&limit=250"):
            if line["verdict"] in ("proved", "unprovable") and float(line["measured"] or 0) >= 1:
                return str(line["address"])
        raise NotMade("no balance was measured yet; they are measured every five minutes")

    def mined(self, tx_hash: str) -> str:
        """Wait until a transaction is in a block; return its hash."""
        self.until(lambda: self.chain.block_of(tx_hash) is not None, what="a block")
        return tx_hash

    def control(self, route: str, value: dict[str, Any]) -> None:
        """Turn one of the provider's knobs."""
        if ask(f"{self.plan.provider_url}/{route}", value, timeout_s=WITHIN_S) is None:
            raise NotMade(f"the provider does not {route}")

    def until(self, holds: Callable[[], bool], *, what: str) -> None:
        """Wait for something."""
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            if time.monotonic() > deadline:
                raise NotMade(f"no {what} within {WITHIN_S:.0f} s")
            time.sleep(0.1)


def _paid_with(*tricks: str) -> Callable[[Stage], str]:
    """The story of an order that is paid, and that the provider then plays tricks with."""

    def play(stage: Stage) -> str:
        order = stage.order(*tricks)
        stage.pay(order)
        return order.orderid

    return play


def _phantom_credit(stage: Stage) -> str:
    order = stage.order()
    stage.control("confirm", {"orderid": order.orderid, "tx_hash": f"0x{int(time.time()):064x}"})
    return order.orderid


def _underpaid(stage: Stage) -> str:
    order = stage.order("claim")
    stage.pay(order, units=AMOUNT // 2)
    return order.orderid


def _overpaid(stage: Stage) -> str:
    order = stage.order()
    stage.pay(order)
    stage.pay(order, units=AMOUNT // 3)
    return order.orderid


def _late_payment(stage: Stage) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=EXPIRES_IN_S)
    order = stage.order(expires_at=moment.isoformat(timespec="seconds"))
    stage.until(lambda: datetime.now(UTC) > moment + timedelta(seconds=1), what="expiry")
    stage.pay(order)
    return order.orderid


def _reverted_tx(stage: Stage) -> str:
    """The provider believes a transaction that failed: more was sent than the account has."""
    order = stage.order(dialect=V2)
    tx_hash = stage.send(order.address, TOO_MUCH)
    stage.control("confirm", {"orderid": order.orderid, "tx_hash": tx_hash})
    return order.orderid


def _wrong_token(stage: Stage) -> str:
    """The provider takes a look-alike for the token."""
    order = stage.order(dialect=V2)
    made = stage.mined(stage.chain.counterfeit(stage.actor))
    contract = str(stage.chain.rpc("eth_getTransactionReceipt", made)["contractAddress"])
    paid = stage.mined(stage.chain.transfer(stage.actor, order.address, AMOUNT * UNIT_MICROS, token=contract))
    stage.control("confirm", {"orderid": order.orderid, "tx_hash": paid})
    return order.orderid


def _unexplained_outflow(stage: Stage) -> str:
    """An account of the chain becomes an address where we collect, and then spends."""
    thief = stage.book(stage.chain.accounts[-2], "collection")
    return stage.mined(stage.chain.transfer(thief, address_for(stage.plan.appid, "a stranger's"), AMOUNT * UNIT_MICROS))


def _orphan_transfer(stage: Stage) -> str:
    return stage.send(stage.nobodys(), AMOUNT * UNIT_MICROS)


def _ambiguous_match(stage: Stage) -> str:
    """Two orders of the same sum wait at one address, and nobody says which of them was paid."""
    order = stage.order("lose", "hide")
    other = {
        "source": OTHER,
        "orderid": f"{order.orderid}-too",
        "chain": CHAIN,
        "address": order.address,
        "amount": "30",
    }
    if not stage.shop.tell("/v1/orders/import", other):
        raise NotMade("the second order was not registered")
    return stage.pay(order)


def _asset_or_network_mismatch(stage: Stage) -> str:
    """An order is to be paid on another network; its provider takes a payment on this one for it."""
    tx_hash = stage.send(stage.nobodys(), AMOUNT * UNIT_MICROS)
    orderid = f"abroad-{tx_hash[2:12]}"
    if not stage.shop.tell(
        "/v1/orders/import", {"source": ABROAD, "orderid": orderid, "chain": FOREIGN, "amount": "30"}
    ):
        raise NotMade("the order was not registered")
    callback_url = f"{stage.plan.relay_url}/callbacks/{ABROAD}"
    asked = {"dialect": V2, "orderid": orderid, "user": "12", "amount": AMOUNT, "callback_url": callback_url}
    stage.control("orders", asked)
    stage.control("confirm", {"orderid": orderid, "tx_hash": tx_hash})
    return orderid


def _unfinal_credit(stage: Stage) -> str:
    """The chain's finality stands still for a while; what is credited meanwhile waits for it."""
    stage.chain.set_lag(STILL)
    try:
        order = stage.order()
        stage.pay(order)
        time.sleep(STILL_S)
    finally:
        stage.chain.set_lag(LAG)
    return order.orderid


def _dust_or_poison(stage: Stage) -> str:
    return stage.mined(stage.chain.transfer(MAKER, stage.nobodys(), 1, token=FINE))


def _balance_gap(stage: Stage) -> str:
    """Part of what an address holds is gone without an event; a payment to it has it measured again."""
    address = stage.measured()
    stage.mined(stage.chain.vanish(stage.actor, address, USDT))
    stage.send(address, USDT)
    return address


def _non_transfer_move(stage: Stage) -> str:
    """The issuer destroys what an address holds, and says so by an event of its own."""
    address = stage.measured()
    stage.mined(stage.chain.destroy(stage.actor, address))
    stage.send(address, USDT)
    return address


def _double_claim(stage: Stage) -> str:
    """V2 names transactions in its callbacks."""
    order, other = stage.order(dialect=V2), stage.order(dialect=V2)
    tx_hash = stage.pay(order)
    stage.control("confirm", {"orderid": other.orderid, "tx_hash": tx_hash})
    return f"{order.orderid} and {other.orderid}"


def _reorged_out(stage: Stage) -> str:
    """At the last moment, when the relay has credited the payment and read its block."""
    order = stage.order()
    tx_hash = stage.pay(order)
    block = stage.chain.block_of(tx_hash) or 0
    stage.until(lambda: stage.chain.head - block + 1 >= LAG - 1, what="blocks enough")
    stage.chain.reorg(stage.chain.head - block + 1, drop=tx_hash)
    return order.orderid


STORIES: dict[str, Callable[[Stage], str]] = {
    "missing_callback": _paid_with("lose"),
    "paid_unannounced": _paid_with("lose", "hide"),
    "callback_unconfirmed": _paid_with("hide"),
    "status_conflict": _paid_with("deny"),
    "rejected_callback_paid": _paid_with("garble"),
    "duplicate_conflict": _paid_with("contradict"),
    "amount_mismatch": _paid_with("scale"),
    "phantom_credit": _phantom_credit,
    "underpaid": _underpaid,
    "overpaid": _overpaid,
    "late_payment": _late_payment,
    "reverted_tx": _reverted_tx,
    "wrong_token": _wrong_token,
    "unexplained_outflow": _unexplained_outflow,
    "orphan_transfer": _orphan_transfer,
    "ambiguous_match": _ambiguous_match,
    "asset_or_network_mismatch": _asset_or_network_mismatch,
    "unfinal_credit": _unfinal_credit,
    "tx_mismatch": _paid_with("misname"),
    "clock_anomaly": _paid_with("hurry"),
    "dust_or_poison": _dust_or_poison,
    "balance_gap": _balance_gap,
    "non_transfer_move": _non_transfer_move,
    "double_claim": _double_claim,
    "reorged_out": _reorged_out,
}


def main() -> None:
    """Play one story in the running sandbox; print the order or transaction to look at."""
    parser = argparse.ArgumentParser(description="Make one class of break in the running sandbox.")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("story", choices=STORIES)
    given = parser.parse_args()
    plan = Plan.read(given.plan)
    try:
        made = STORIES[given.story](Stage(shop_of(given.plan), SandboxChain(plan.chain_url), plan))
    except (NotMade, ChainAway) as error:
        raise SystemExit(f"not made: {error}; is the sandbox running there?") from error
    sys.stdout.write(f"{given.story}: {made}\n")


if __name__ == "__main__":
    main()
