"""Own the sandbox's traffic: somebody pays about every two seconds, and now and then something goes wrong.

What goes wrong follows a fixed round, so that whoever watches for a minute
has seen every story once.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from pathlib import Path

from relay.sandbox.loopback import ask
from relay.sandbox.plan import Plan

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
ANSWER_WITHIN_S = 12.0


def play(story: str, *, provider_url: str, subscribers_url: str) -> None:
    """Make one step of the round happen. A part that is away is passed over; the next step comes soon."""
    if story == "forge":
        ask(f"{provider_url}/forge", {}, timeout_s=ANSWER_WITHIN_S)
        return
    if story == "down":
        ask(f"{subscribers_url}/down", {"name": "billing", "webhooks": 1})
    knobs = {story: True} if story in ("repeat", "lose", "large") else {}
    ask(f"{provider_url}/orders", knobs, timeout_s=ANSWER_WITHIN_S)


def main() -> None:
    """Play the round until the process is ended."""
    parser = argparse.ArgumentParser(description="A payment about every two seconds.")
    parser.add_argument("--plan", type=Path, required=True)
    plan = Plan.read(parser.parse_args().plan)
    for story in itertools.cycle(ROUND):
        play(story, provider_url=plan.provider_url, subscribers_url=plan.subscribers_url)
        time.sleep(EVERY_S + random.uniform(-JITTER_S, JITTER_S))


if __name__ == "__main__":
    main()
