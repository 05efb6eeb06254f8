"""Own the measuring of runs, in a process of its own, so that its memory is that of the runs.

    python -m benchmarks.reconciler 1000000 --full      fill, judge everything, then what changed

Its database is that of its environment, with tables and no orders. It prints
one line of JSON, in seconds and MB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

from sqlalchemy import text

from benchmarks import history
from benchmarks.naive import poller
from config.settings import load
from relay.bootstrap import bench_of, build, now
from relay.flows.reconcile import Bench, reconcile
from relay.store import reconciling
from relay.store.engine import reading, writing

TIMES = 3
# So many orders show what the loop takes for each.
LOOPED = 300
CHANGED = 10_000


def main() -> None:
    """Fill, run, report."""
    arguments = _arguments()
    bench = bench_of(build(load(os.environ)), "benchmark")
    begun = time.monotonic()
    history.fill(bench.engine, arguments.orders, judged=not arguments.full)
    found = {"orders": float(arguments.orders), "fill_s": time.monotonic() - begun}
    found |= {"full_s": _full(bench)} if arguments.full else {}
    _check(bench, arguments.orders)
    found |= _changed(bench, arguments.orders)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["loop_10k_s"] = _loop(bench)
    sys.stdout.write(json.dumps(found) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure runs of the reconciler over a history.")
    parser.add_argument("orders", type=int)
    parser.add_argument("--full", action="store_true", help="judge every order first, else it is as if that was done")
    return parser.parse_args()


def _full(bench: Bench) -> float:
    with writing(bench.engine) as connection:
        reconciling.mark_all(connection)
    begun = time.monotonic()
    while _is_left(bench):
        reconcile(bench, now=now())
    return time.monotonic() - begun


def _is_left(bench: Bench) -> bool:
    with reading(bench.engine) as connection:
        return connection.scalar(text("SELECT 1 FROM dirty LIMIT 1")) is not None


def _check(bench: Bench, orders: int) -> None:
    """Nothing is left to do, and the history stands as it was made: what was lost is broken, the rest matched."""
    reconcile(bench, now=now())
    with reading(bench.engine) as connection:
        rows = dict(map(tuple, connection.execute(text("SELECT verdict, count(*) FROM match_states GROUP BY verdict"))))
    lost = orders // history.LOST_EVERY
    if rows != {"break": lost, "matched": orders - lost} or _is_left(bench):
        raise SystemExit(f"the history was judged otherwise than it was made: {rows}")


def _changed(bench: Bench, orders: int) -> dict[str, float]:
    """Runs over what changed, the newest and what is spread over the history, and over nothing."""
    engine = bench.engine

    def spread(every: int) -> Callable[[], None]:
        def change() -> None:
            with writing(engine) as connection:
                history.change(connection, every=every)

        return change

    def newest() -> None:
        with writing(engine) as connection:
            history.change_newest(connection, CHANGED)

    return {
        **_measured(bench, "nothing", lambda: None),
        **_measured(bench, "newest_10k", newest),
        **_measured(bench, "spread_10k", spread(max(orders // CHANGED, 1))),
        **_measured(bench, "spread_1k", spread(max(orders // 1_000, 1))),
    }


def _measured(bench: Bench, name: str, change: Callable[[], None]) -> dict[str, float]:
    """The median of some runs, each after its change: as it took, and the CPU of this process, which others disturb less."""
    took, used = [], []
    for _ in range(TIMES):
        change()
        begun, before = time.monotonic(), time.process_time()
        reconcile(bench, now=now())
        took.append(time.monotonic() - begun)
        used.append(time.process_time() - before)
    return {f"{name}_s": statistics.median(took), f"{name}_cpu_s": statistics.median(used)}


def _loop(bench: Bench) -> float:
    with reading(bench.engine) as connection:
        newest = text("SELECT namespace, orderid FROM orders ORDER BY id DESC LIMIT :count")
        keys = [(namespace, orderid) for namespace, orderid in connection.execute(newest, {"count": LOOPED})]
    begun = time.monotonic()
    poller.reconcile(bench.engine, keys)
    return (time.monotonic() - begun) * CHANGED / LOOPED


if __name__ == "__main__":
    main()
