"""Own the sandbox's traffic: somebody orders and pays about every two seconds, and now and then something goes wrong.

What goes wrong follows a fixed round, so that whoever watches for a minute
has seen every story once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import time
from contextlib import suppress
from pathlib import Path

from relay.sandbox.book import V1, V2
from relay.sandbox.chain.driver import ChainAway
from relay.sandbox.loopback import ask
from relay.sandbox.plan import Plan
from relay.sandbox.provider import KNOBS
from relay.sandbox.shop import LARGE_AMOUNT, Shop, shop_of

EVERY_S = 2.0
JITTER_S = 0.6
ROUND = (
    "ok",
    "ok",
    "repeat",
    "ok",
    "forge",
    "ok",
    "down",
    "ok",
    "ok",
    "lose",
    "ok",
    "repeat",
    "ok",
    "large",
    "ok",
    "ok",
    "forge",
    "ok",
    "down",
    "ok",
)
# Nine of them and a round of twenty: each story is told in each dialect in time.
SPOKEN = (V1, V2, V1, "epusdt", V1, V2, "shkeeper", V1, "btcpay")
# The provider answers when it has posted the forgery, for which it waits ten seconds at most.
ANSWER_WITHIN_S = 12.0


def play(story: str, shop: Shop, *, dialect: str, provider_url: str, subscribers_url: str) -> None:
    """Make one step of the round happen. A part that is away is passed over; the next step comes soon."""
    if story == "forge":
        ask(f"{provider_url}/forge", {}, timeout_s=ANSWER_WITHIN_S)
        return
    if story == "down":
        ask(f"{subscribers_url}/down", {"name": "billing", "webhooks": 1})
    with suppress(ChainAway):
        order = shop.order(dialect, amount=LARGE_AMOUNT if story == "large" else None)
        if order is None:
            return
        if story in KNOBS:
            ask(f"{provider_url}/arm", {"knob": story, "orderid": order.orderid})
        shop.pay(order)


def main() -> None:
    """Play the round until the process is ended."""
    parser = argparse.ArgumentParser(description="A payment about every two seconds.")
    parser.add_argument("--plan", type=Path, required=True)
    path = parser.parse_args().plan
    plan = Plan.read(path)
    shop = shop_of(path, os.environ)
    for story, dialect in zip(itertools.cycle(ROUND), itertools.cycle(SPOKEN), strict=False):
        play(story, shop, dialect=dialect, provider_url=plan.provider_url, subscribers_url=plan.subscribers_url)
        time.sleep(EVERY_S + random.uniform(-JITTER_S, JITTER_S))


if __name__ == "__main__":
    main()
