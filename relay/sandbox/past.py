"""Own the sandbox's past: three days of a till, so that who starts it for the first time has days to close at once.

Its callbacks are signed by the provider's own dialect and go through the one
door, whose clock stands at the moment of each; nothing is written beside it.
A database in which anything was announced has a past of its own and is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config import logs
from config.settings import load
from relay.bootstrap import Runtime, build, new_event_id
from relay.core.days import ONE, Calendar
from relay.core.parsing import RawRequest
from relay.flows.committer import Committer
from relay.flows.intake import Intake, Request
from relay.sandbox.book import Entry, Payment
from relay.sandbox.dialects import spell_callback
from relay.sandbox.plan import TILL, Plan
from relay.sandbox.shop import AMOUNTS, LARGE_AMOUNT
from relay.store import day_facts
from relay.store.engine import reading

DAYS, ORDERS = 3, 12
OPENS_AT, EVERY = timedelta(hours=9), timedelta(minutes=37)
# The second day has a callback that contradicts another, the second and the third one that is too large to pass unseen.
CONTRADICTED, LARGE = {2: 4}, {2: 7, 3: 5}


@dataclass(slots=True)
class Clock:
    """What the door takes for the present."""

    at: datetime

    def __call__(self) -> datetime:
        """Return the moment at which it stands."""
        return self.at


def live_through(runtime: Runtime, plan: Plan, *, now: datetime) -> int:
    """Let the callbacks of the last days come in at their times; return how many, none where there is a past already."""
    with reading(runtime.engine) as connection:
        if day_facts.first_moment(connection) is not None:
            return 0
    clock = Clock(now)
    committer = Committer(runtime.engine, runtime.memory, clock=clock, new_id=new_event_id)
    door = Intake(runtime.sources, committer, clock=clock)
    calendar = Calendar(runtime.settings.business_timezone, runtime.settings.business_cutoff)
    count = 0
    for entry, at in _payments(calendar, now):
        clock.at = at
        body, content_type, headers = spell_callback(plan.account, entry, now=at)
        raw = RawRequest(body=body, content_type=content_type, query="", headers=headers)
        door.receive(Request(source=TILL, raw=raw, address="127.0.0.1", request_id=None))
        count += 1
    return count


def _payments(calendar: Calendar, now: datetime) -> Iterator[tuple[Entry, datetime]]:
    """Yield what was paid at the till, and when it was called back; the same on every fresh start, but for the day."""
    dice = random.Random(7)
    today = calendar.day_at(now).date
    for number in range(1, DAYS + 1):
        start = calendar.day(today - ONE * (DAYS + 1 - number)).start + OPENS_AT
        for place in range(ORDERS):
            at, orderid = start + EVERY * place, f"till-{number}{place + 1:02d}"
            amount = LARGE_AMOUNT if LARGE.get(number) == place else dice.choice(AMOUNTS)
            yield _entry(orderid, amount, at), at
            if CONTRADICTED.get(number) == place:
                yield _entry(orderid, amount * 10, at), at + timedelta(minutes=2)


def _entry(orderid: str, amount: int, at: datetime) -> Entry:
    tx_hash = "0x" + hashlib.sha256(orderid.encode()).hexdigest()
    payment = Payment(tx_hash, (at - timedelta(seconds=20)).timestamp())
    return Entry(orderid, "12", amount, payment.at_s, number=f"cz-{orderid}", payment=payment)


def main() -> None:
    """Live through them in the configured database."""
    parser = argparse.ArgumentParser(description="Give a fresh sandbox three days to close.")
    parser.add_argument("--plan", type=Path, required=True)
    # What goes wrong in these days goes wrong on purpose, and is no news.
    logs.setup("ERROR", "text", stream=sys.stderr)
    live_through(build(load(os.environ)), Plan.read(parser.parse_args().plan), now=datetime.now(UTC))


if __name__ == "__main__":
    main()
