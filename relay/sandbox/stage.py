"""Own what stories of trouble are played with: the shop, its chain, the provider's controls, and the relay's own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.sandbox.book import UNIT_MICROS, V1
from relay.sandbox.chain.driver import SandboxChain
from relay.sandbox.dialects import address_for
from relay.sandbox.loopback import ask
from relay.sandbox.plan import CHAIN, SOURCE, Plan
from relay.sandbox.shop import Order, Shop

# Thirty USDT.
AMOUNT = 300_000
WITHIN_S = 20.0


class NotMade(Exception):
    """A part of the sandbox does not answer, or refuses; the text says which."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What stories are played with. No other user pays from `actor`; `command` runs one of the relay's with an input, as `sandbox do`."""

    shop: Shop
    chain: SandboxChain
    plan: Plan
    command: Callable[[Sequence[str], str], None]

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

    def elsewhere(self, source: str, orderid: str, *, dialect: str, tricks: Sequence[str] = (), **about: str) -> str:
        """Have the provider make an order that the relay is only told of, with an address of its own; return that."""
        address = address_for(self.plan.appid, orderid)
        told = {"source": source, "orderid": orderid, "amount": "30", **about}
        if not self.shop.tell("/v1/orders/import", told):
            raise NotMade("the order was not registered")
        callback_url = f"{self.plan.relay_url}/callbacks/{source}"
        asked = {"dialect": dialect, "orderid": orderid, "user": "12", "amount": AMOUNT, "callback_url": callback_url}
        self.control("orders", asked)
        for trick in tricks:
            self.control("arm", {"knob": trick, "orderid": orderid})
        return address

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


def commands_of(plan: Path) -> Callable[[Sequence[str], str], None]:
    """Return what runs a command with the settings of the sandbox that keeps this plan."""

    def run(words: Sequence[str], given: str) -> None:
        settings = json.loads(plan.with_name("settings.json").read_text())
        command = (sys.executable, "-m", "relay", *words)
        done = subprocess.run(
            command, input=given, text=True, capture_output=True, env={**os.environ, **settings}, check=False
        )
        if done.returncode:
            raise NotMade(f"`relay {' '.join(words)}` says: {done.stderr.strip()}")

    return run
