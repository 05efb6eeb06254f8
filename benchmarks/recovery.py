"""Own the measuring of how long a lost callback stays lost: the whole sandbox runs, and each payment's callback is not sent.

    python -m benchmarks recovery

Counted is from the moment at which the chain calls the payment's block final
(its block's time and that of the blocks that must stand on it) to the
moment at which its credit is committed. The provider says paid before that.
"""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

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
from relay.store.rows import events

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
            took = sorted(_waited(plan, f"sqlite:///{var / 'relay.db'}", lost))
    told = {"p50": statistics.median(took), "p99": took[min(len(took) - 1, int(len(took) * 0.99))], "longest": took[-1]}
    print("| recovered | " + " | ".join(f"{name} s" for name in told) + " |\n|---|---|---|---|")
    print(f"| {len(took)} of {payments} | " + " | ".join(f"{value:.1f}" for value in told.values()) + " |")
    return 0 if len(took) == payments else 1


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


def _waited(plan: Plan, database: str, lost: dict[str, str]) -> Iterator[float]:
    """Yield for each order how long after its payment was final it was credited; those that are not, after a while, are left out."""
    chain, engine = SandboxChain(plan.chain_url), make_engine(database)
    deadline = time.monotonic() + HEALED_WITHIN_S
    credited: dict[str, datetime] = {}
    while len(credited) < len(lost) and time.monotonic() < deadline:
        time.sleep(1)
        with reading(engine) as connection:
            query = select(events.c.orderid, events.c.created_at).where(events.c.type == "recharge.succeeded")
            credited = {row.orderid: row.created_at for row in connection.execute(query) if row.orderid in lost}
    for orderid, moment in credited.items():
        block = chain.block_of(lost[orderid])
        if block is None:
            raise BenchmarkError("a payment is in no block")
        final = chain.rpc("eth_getBlockByNumber", hex(block + LAG))["timestamp"]
        yield (moment - datetime.fromtimestamp(int(final, 16), UTC)).total_seconds()
    engine.dispose()
