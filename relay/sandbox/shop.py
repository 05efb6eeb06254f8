"""Own the sandbox's merchant: it has orders made by the relay, and its users pay them on the chain.

One order in any dialect, while `make run` runs: `python -m relay sandbox order epusdt`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import load
from relay.core.amounts import format_micros
from relay.sandbox.book import UNIT_MICROS, V1, V2
from relay.sandbox.chain.driver import ChainAway, SandboxChain
from relay.sandbox.dialects import DIALECTS, address_for
from relay.sandbox.loopback import ask, post
from relay.sandbox.numbers import Numbers
from relay.sandbox.plan import CHAIN, Plan

# What people top up: round sums mostly, some with cents; in ten-thousandths of a USDT.
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
# Above what the sandbox credits unseen.
LARGE_AMOUNT = 12_000_000
# The relay takes eight seconds at most to have an order made.
ANSWER_WITHIN_S = 12.0
# How the relay is asked to have an order made; the other dialects have no such call, and their orders are made elsewhere.
KINDS = {V1: "recharge", V2: "monitor"}


@dataclass(frozen=True, slots=True)
class Order:
    """An order that was made, and the account that will pay it; `amount` in ten-thousandths of a USDT."""

    orderid: str
    amount: int
    address: str
    payer: str


class Shop:
    """The merchant; `key` opens the relay that makes its orders."""

    def __init__(self, plan: Plan, *, key: str, numbers: Numbers, dice: random.Random | None = None) -> None:
        self._plan = plan
        self._key = key
        self._numbers = numbers
        self._dice = dice or random.Random()
        self._chain = SandboxChain(plan.chain_url)

    def order(self, dialect: str = V1, *, amount: int | None = None, expires_at: str = "") -> Order | None:
        """Have an order made; None when relay or provider do not make it. Raises ChainAway: nobody orders who cannot pay."""
        # The first account made the token, the last is left to who needs one alone.
        payer = self._dice.choice(self._chain.accounts[1:-1])
        orderid, user = f"sh-{self._numbers.take():04d}", str(self._dice.randint(10, 999))
        amount = amount or self._dice.choice(AMOUNTS)
        address = address_for(self._plan.appid, orderid)
        told = {"source": dialect, "orderid": orderid, "user_ref": user, "chain": CHAIN, "address": address}
        told |= {"amount": _usdt(amount)} | ({"expires_at": expires_at} if expires_at else {})
        if dialect in KINDS:
            is_made = self.tell("/v1/orders", {**told, "kind": KINDS[dialect]})
        else:
            asked = {"dialect": dialect, "orderid": orderid, "user": user, "amount": amount}
            if ask(f"{self._plan.provider_url}/orders", asked) is None:
                return None
            is_made = self.tell("/v1/orders/import", told)
        return Order(orderid, amount, address, payer) if is_made else None

    def pay(self, order: Order) -> str:
        """Let a user pay an order; return the transaction's hash. Raises ChainAway."""
        return self._chain.transfer(order.payer, order.address, order.amount * UNIT_MICROS)

    def tell(self, path: str, value: dict[str, str]) -> bool:
        """Post to the relay's API; False for whatever is no success."""
        url, body = f"{self._plan.relay_url}{path}", json.dumps(value).encode()
        status, _ = post(url, body, content_type="application/json", timeout_s=ANSWER_WITHIN_S, headers=self._headers)
        return status in (200, 201, 202)

    def list(self, path: str) -> list[dict[str, Any]]:
        """Return a page of a list of the relay's API; an empty one where it does not answer."""
        return list(self.get(path).get("data", ()))

    def get(self, path: str) -> dict[str, Any]:
        """Return what the relay's API tells; nothing where it does not answer."""
        answer = ask(f"{self._plan.relay_url}{path}", timeout_s=ANSWER_WITHIN_S, headers=self._headers)
        return answer if isinstance(answer, dict) else {}

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}


def shop_of(path: Path, environ: Mapping[str, str]) -> Shop:
    """Return the shop of the sandbox whose plan is at `path`; a key that was set in its environment is the relay's, not the plan's."""
    plan = Plan.read(path)
    key = load(environ).admin_key or plan.admin_key
    return Shop(plan, key=key, numbers=Numbers(path.with_name("sandbox-orders")))


def _usdt(amount: int) -> str:
    return format_micros(amount * UNIT_MICROS)


def main() -> None:
    """Make one order and pay it; print it as JSON."""
    parser = argparse.ArgumentParser(description="Make an order in the running sandbox, and pay it on its chain.")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("dialect", choices=DIALECTS)
    given = parser.parse_args()
    shop = shop_of(given.plan, os.environ)
    try:
        order = shop.order(given.dialect)
        tx_hash = order and shop.pay(order)
    except ChainAway as error:
        raise SystemExit(f"the chain is away: {error}") from error
    if order is None:
        raise SystemExit("the order was not made; is the sandbox running there?")
    json.dump({"orderid": order.orderid, "amount": _usdt(order.amount), "tx_hash": tx_hash}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
