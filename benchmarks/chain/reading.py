"""Own one measurement: a process of its own that reads a chain, ours or the scanner's way, and says what it took."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Engine, func, insert, select

from benchmarks.chain.node import BLOCK_S, CHAIN_ID, MAX_RANGE, MULTICALL, START_S, TOKEN, address
from benchmarks.chain.scanner import EventScanner
from relay.bootstrap import now
from relay.core.chains import Chain, NodeURL, Token
from relay.core.days import Calendar
from relay.edge.nodes import nodes_of
from relay.flows.balances import measure
from relay.flows.day_proofs import prove_day
from relay.flows.scan import scan
from relay.store import chain as store
from relay.store import day_proofs
from relay.store.engine import make_engine, reading, writing
from relay.store.migrate import upgrade
from relay.store.rows import addresses, transfers
from relay.store.rows import balances as points

Sample = dict[str, float]

# Addresses are entered in pages, so that the peak of memory is that of what is measured.
PAGE = 5_000


def ours(url: str, watched: int, head: int, directory: Path) -> Sample:
    """Scan as the job does, into SQLite, until every block is read; addresses are enrolled before the clock starts."""
    chain = a_chain(url)
    engine = _enrolled(chain, watched, directory)
    taken = _measured(url, head, lambda: _read_to(engine, chain, head))
    with reading(engine) as connection:
        taken["found"] = connection.scalar(select(func.count()).select_from(transfers)) or 0
    engine.dispose()
    return taken


def balances(url: str, watched: int, head: int, directory: Path) -> Sample:
    """Measure what every address holds, a day after it was measured first, and prove the day in between."""
    chain = a_chain(url)
    engine = _enrolled(chain, watched, directory)
    _ask(url, "bench_begin", head // 2)
    _read_to(engine, chain, head // 2)
    _weigh(engine, chain, head // 2)
    _ask(url, "bench_begin", head)
    _read_to(engine, chain, head)
    day = Calendar().day(_time_of(head // 2).date())

    def prove() -> None:
        _weigh(engine, chain, head)
        prove_day(engine, chain, day, now=_time_of(head))

    taken = _measured(url, head, prove)
    with reading(engine) as connection:
        ((total, _),) = day_proofs.totals(connection, day)
    engine.dispose()
    return taken | {"found": total.proved}


def scanner(url: str, watched: int, head: int, _: Path) -> Sample:
    """Scan as web3.py documents it."""
    made = EventScanner(url, [address(number) for number in range(watched)])
    taken = _measured(url, head, lambda: made.scan(1, head))
    return taken | {"found": len(made.found)}


def a_chain(url: str) -> Chain:
    """The chain of the node, without a pause between requests."""
    return Chain(
        name="ethereum",
        chain_id=CHAIN_ID,
        tokens=(Token(contract=TOKEN, decimals=6),),
        finality="finalized",
        block_ms=12_000,
        span=MAX_RANGE,
        rate=1_000_000,
        multicall=MULTICALL,
        nodes=(NodeURL(name="1:node", url=url),),
    )


def _enrolled(chain: Chain, watched: int, directory: Path) -> Engine:
    """A database that watches so many addresses, after its first scan."""
    engine = make_engine(f"sqlite:///{directory / 'relay.db'}")
    upgrade(engine)
    usual = {"chain": chain.name, "role": "deposit", "created_at": now()}
    for first in range(0, watched, PAGE):
        page = range(first, min(first + PAGE, watched))
        with writing(engine) as connection:
            connection.execute(insert(addresses), [usual | {"address": address(number)} for number in page])
    _scan(engine, chain)
    return engine


def _read_to(engine: Engine, chain: Chain, head: int) -> None:
    while _reached(engine, chain) < head:
        _scan(engine, chain)


def _weigh(engine: Engine, chain: Chain, head: int) -> None:
    """Measure as the job does, as often as it takes until every address was looked at."""
    while True:
        before = _measured_at(engine, head)
        told = measure(engine, chain, nodes_of(chain), Calendar(), owner="benchmark", now=_time_of(head))
        if told != "measured":
            raise RuntimeError(told)
        if _measured_at(engine, head) == before:
            return


def _measured_at(engine: Engine, block: int) -> int:
    with reading(engine) as connection:
        query = select(func.count()).select_from(points).where(points.c.last_block == block)
        return connection.scalar(query) or 0


def _time_of(block: int) -> datetime:
    return datetime.fromtimestamp(START_S + BLOCK_S * block, tz=UTC)


def _scan(engine: Engine, chain: Chain) -> None:
    told = scan(engine, chain, nodes_of(chain), owner="benchmark", clock=now, jitter=random.random)
    if told != "scanned":
        raise RuntimeError(told)


def _reached(engine: Engine, chain: Chain) -> int:
    with reading(engine) as connection:
        reached: int = store.states(connection)[chain.name]["final_number"]
    return reached


def _measured(url: str, head: int, read: Callable[[], None]) -> Sample:
    _ask(url, "bench_begin", head)
    started, cpu = time.perf_counter(), time.process_time()
    read()
    taken = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    totals: Sample = _ask(url, "bench_totals")
    return taken | totals | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


_ids = itertools.count(1)


def _ask(url: str, method: str, *given: int) -> Any:
    asked: dict[str, Any] = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": list(given)}
    return requests.post(url, json=asked, timeout=30).json()["result"]


WAYS: dict[str, Callable[[str, int, int, Path], Sample]] = {"ours": ours, "scanner": scanner, "balances": balances}


def main() -> None:
    """Read once, and print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("url")
    parser.add_argument("--watched", type=int, required=True)
    parser.add_argument("--blocks", type=int, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(WAYS[given.way](given.url, given.watched, given.blocks, Path(directory))))


if __name__ == "__main__":
    main()
