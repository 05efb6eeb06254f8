"""Own the measuring of how long a lost callback stays lost: the whole sandbox runs, and each payment's callback is not sent.

    python -m benchmarks recovery

Counted is from the moment at which the chain calls the payment's block final
(its block's time and that of the blocks that must stand on it) to the
moment at which its credit is committed. The provider says paid before that.
On the way lie the moment at which the scan has read it as final, that of the
provider's answer (where one is asked), and that at which a run has found it.
"""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.machine import ROOT, BenchmarkError, bare_environment
from relay.sandbox.book import V1, V2
from relay.sandbox.chain import LAG
from relay.sandbox.chain.driver import SandboxChain
from relay.sandbox.loopback import ask
from relay.sandbox.numbers import Numbers
from relay.sandbox.plan import Plan
from relay.sandbox.shop import Shop
from relay.store.engine import make_engine, reading
from relay.store.rows import events, matches, provider_facts, recoveries

PAYMENTS = 60
EVERY_S = 2.0
UP_WITHIN_S, HEALED_WITHIN_S = 60.0, 240.0


def run(*, payments: int = PAYMENTS) -> int:
    """Print how long the recoveries took; 1 where one did not come."""
    with tempfile.TemporaryDirectory(prefix="relay-recovery-", dir="/var/tmp") as name:
        var = Path(name)
        with _sandbox(var):
            plan = Plan.read(var / "sandbox.json")
            lost = dict(_lost(plan, var, payments))
            found = list(_waited(plan, f"sqlite:///{var / 'relay.db'}", lost))
    print(f"{len(found)} of {payments} recovered\n| s after it was final | p50 | p99 | longest |\n|---|---|---|---|")
    for number, name in enumerate(STAGES):
        took = sorted(value for one in found if (value := one[number]) is not None)
        told = (statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.99))], took[-1]) if took else ()
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in told) + " |")
    return 0 if len(found) == payments else 1


@contextmanager
def _sandbox(var: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "relay", "run", "--sandbox", "--var", str(var)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=bare_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_up(var)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _until_up(var: Path) -> None:
    """Its traffic begins when everything answers."""
    deadline = time.monotonic() + UP_WITHIN_S
    while not (var / "log" / "traffic.log").exists():
        if time.monotonic() > deadline:
            raise BenchmarkError("the sandbox does not come up")
        time.sleep(0.2)


def _lost(plan: Plan, var: Path, payments: int) -> Iterator[tuple[str, str]]:
    """Pay orders whose callbacks are lost, in the two dialects that are asked for by the relay; yield order and transaction."""
    shop = Shop(plan, key=plan.admin_key, numbers=Numbers(var / "sandbox-orders"), dice=random.Random(7))
    for number in range(payments):
        order = shop.order((V1, V2)[number % 2])
        if order is None:
            raise BenchmarkError("an order was not made")
        ask(f"{plan.provider_url}/arm", {"knob": "lose", "orderid": order.orderid})
        yield order.orderid, shop.pay(order)
        time.sleep(EVERY_S)


def _waited(plan: Plan, database: str, lost: dict[str, str]) -> Iterator[list[float | None]]:
    """Yield for each order how long after its payment was final each stage came; those that are not credited after a while are left out."""
    chain, engine = SandboxChain(plan.chain_url), make_engine(database)
    deadline = time.monotonic() + HEALED_WITHIN_S
    credited: dict[str, Sequence[Any]] = {}
    while len(credited) < len(lost) and time.monotonic() < deadline:
        time.sleep(1)
        with reading(engine) as connection:
            credited = {row[0]: tuple(row) for row in connection.execute(_CREDITED) if row[0] in lost}
    for orderid, row in credited.items():
        block = chain.block_of(lost[orderid])
        if block is None:
            raise BenchmarkError("a payment is in no block")
        final = chain.rpc("eth_getBlockByNumber", hex(block + LAG))["timestamp"]
        since = datetime.fromtimestamp(int(final, 16), UTC)
        yield [None if moment is None else (moment - since).total_seconds() for moment in row[1:]]
    engine.dispose()


STAGES = ("read as final", "the provider said so", "found by a run", "credited")
_CREDITED = (
    select(
        events.c.orderid, matches.c.final_at, provider_facts.c.changed_at, recoveries.c.found_at, events.c.created_at
    )
    .join(matches, matches.c.orderid == events.c.orderid)
    .join(recoveries, recoveries.c.orderid == events.c.orderid)
    .outerjoin(provider_facts, provider_facts.c.orderid == events.c.orderid)
    .where(events.c.type == "recharge.succeeded")
)
