"""Own the part `backlog`: 100,000 deliveries wait for twenty endpoints, some slow, two dead; then the feed is read and the figures scraped."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection

from benchmarks.machine import BenchmarkError, wait_until
from benchmarks.parts import Bench, running, wait_until_quiet
from benchmarks.systems import FAN_OUT, Postgres

DELIVERIES = 100_000
QUICK, SLOW, DEAD = 13, 5, 2
PATHS = (
    *(f"ok/{n}" for n in range(QUICK)),
    *(f"delay-200/{n}" for n in range(SLOW)),
    "fail-1/dead",
    "hang/dead",
)
SHARE = DELIVERIES // len(PATHS)
SCRAPES = 10
LOOK_EVERY_S = 0.25
LONGEST_S = 240.0

Row = tuple[str, str]


def run(bench: Bench) -> str:
    """Return the rows of a table: how the backlog drained, how fast the feed is read, how long a scrape takes."""
    bench.fresh()
    database = bench.databases.filled(bench.ours, "backlog", events=-(-DELIVERIES // FAN_OUT), paths=PATHS)
    web, port = bench.ours.web(database, processes=1)
    with running(web):
        waiting = _scraped(port, bench)
        rows = [*_drained(bench, database), ("scrape, 100,000 waiting", f"{waiting:.0f} ms")]
        rows.append(("scrape, after it", f"{_scraped(port, bench):.0f} ms"))
        rows.append(("feed, one reader, 250 a page", f"{_read(port, bench):,.0f} events/s"))
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {told} |" for what, told in rows)])


def _drained(bench: Bench, database: str) -> list[Row]:
    worker = bench.ours.worker(database)
    with running(worker), bench.machine.connect("run") as connection:
        wait_until_quiet(worker)
        connection.autocommit = True
        bench.ours.release(database)
        begun = time.monotonic()

        def are_done(kind: Sequence[int], least: float) -> bool:
            return min(_delivered(connection)[place] for place in kind) >= least

        quick, slow = range(QUICK), range(QUICK, QUICK + SLOW)
        _wait(lambda: are_done(quick, SHARE // 2), "half of the quick ones' share")
        half = _delivered(connection)
        _wait(lambda: are_done(quick, SHARE - FAN_OUT), "the quick endpoints")
        quick_s = time.monotonic() - begun
        _wait(lambda: are_done(slow, SHARE - FAN_OUT), "the slow endpoints")
        slow_s = time.monotonic() - begun
        spent = _attempts_of_the_dead(connection)
    return [
        (f"{QUICK} quick endpoints have everything", f"{quick_s:.1f} s, {QUICK * SHARE / quick_s:,.0f} deliveries/s"),
        ("the last of them, when the slowest of them had half", f"{max(half[:QUICK]) / SHARE:.0%} of its share"),
        (
            f"{SLOW} endpoints at 200 ms have everything",
            f"{slow_s:.1f} s; {SHARE / 32 * 0.2:.1f} s is what 32 at once allow",
        ),
        (f"attempts that {DEAD} dead endpoints cost", f"{spent} of {2 * SHARE:,} deliveries that wait for them"),
    ]


def _wait(is_done: Callable[[], bool], what: str) -> None:
    wait_until(is_done, within_s=LONGEST_S, what=lambda: what, every_s=LOOK_EVERY_S)


def _delivered(connection: Postgres) -> list[int]:
    query = """
        SELECT count(d.id) FROM endpoints p
        LEFT JOIN deliveries d ON d.endpoint_id = p.id AND d.state = 'delivered' GROUP BY p.id ORDER BY p.id
    """
    return [row[0] for row in connection.execute(query).fetchall()]


def _attempts_of_the_dead(connection: Postgres) -> int:
    query = "SELECT coalesce(sum(d.attempts), 0) FROM deliveries d JOIN endpoints p ON p.id = d.endpoint_id WHERE p.url LIKE '%/dead'"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _scraped(port: int, bench: Bench) -> float:
    """Return the median of some scrapes, in milliseconds."""
    connection = HTTPConnection("127.0.0.1", port)
    times = []
    for _ in range(SCRAPES):
        begun = time.monotonic()
        _get(connection, bench, "/metrics")
        times.append((time.monotonic() - begun) * 1000)
    return statistics.median(times)


def _read(port: int, bench: Bench) -> float:
    """Return how many events one reader gets a second, who parses each page."""
    connection = HTTPConnection("127.0.0.1", port)
    read, cursor, begun = 0, 0, time.monotonic()
    while time.monotonic() < begun + bench.seconds:
        page = json.loads(_get(connection, bench, f"/v1/events?limit=250&after={cursor}"))
        read += len(page["data"])
        cursor = page["next"] or 0
    return read / (time.monotonic() - begun)


def _get(connection: HTTPConnection, bench: Bench, path: str) -> bytes:
    key = bench.ours.environment("")["RELAY_ADMIN_KEY"]
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise BenchmarkError(f"{path}: {answer.status} {body[:200]!r}")
    return body
