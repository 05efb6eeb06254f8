"""Own what a page and a file cost: one process of the application asks itself, and prints what it took as JSON.

`python -m benchmarks.finance.pages WHAT`, on a database of `benchmarks.finance.books` that DATABASE_URL names.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from benchmarks.finance.books import LARGE_DAY, USUAL_DAY
from benchmarks.load import percentile
from benchmarks.machine import BenchmarkError
from config.settings import load
from relay.bootstrap import Runtime, build, desk_of
from relay.core.actors import hash_of
from relay.core.ids import time_ordered_id
from relay.edge.workbook import write_workbook
from relay.flows import workbook
from relay.store import people, workbooks
from relay.store.engine import writing
from relay.web import create_app

ROUNDS = 30
NAME, TOKEN = "bench", "a-session-of-the-benchmarks"
PAGES = {
    "statement": f"/finance/{USUAL_DAY}",
    "statement-today": f"/finance/{datetime.now(UTC).date()}",
    "month": f"/finance/{USUAL_DAY:%Y-%m}",
    "breaks": "/finance/breaks",
    "breaks-resolved": f"/finance/breaks?state=all&from={USUAL_DAY}&severity=2",
    "breaks-search": "/finance/breaks?q=filled-77700",
    "orders": "/finance/orders",
}
Sample = dict[str, float]


def main() -> None:
    """Ask for one page many times, or for one file once."""
    what = sys.argv[1]
    runtime = build(load(dict(os.environ)))
    with writing(runtime.engine) as connection:
        if people.find(connection, NAME) is None:
            people.add(connection, NAME, ["auditor"], "no password", now=datetime.now(UTC))
            people.begin(connection, NAME, hash_of(TOKEN), now=datetime.now(UTC))
    client = create_app(runtime).test_client()
    # As the web process does before its first request.
    gc.collect()
    gc.freeze()
    client.set_cookie("relay", TOKEN, httponly=True, path="/")
    measured = _page(runtime.engine, client, PAGES[what]) if what in PAGES else FILES[what](runtime, client)
    print(json.dumps(measured))


def _page(engine: Engine, client: FlaskClient, path: str) -> Sample:
    """Return the times of a page and how many statements it sends."""
    _get(client, path)
    with counted(engine) as statements:
        _get(client, path)
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        _get(client, path)
        taken.append((time.perf_counter() - begun) * 1000)
    taken.sort()
    return {"p50_ms": percentile(taken, 0.50), "p99_ms": percentile(taken, 0.99), "queries": float(len(statements))}


def _get(client: FlaskClient, path: str) -> int:
    """Return the length of an answer, which is thrown away as it comes."""
    with client.get(path, buffered=False) as answer:
        if answer.status_code != 200:
            raise BenchmarkError(f"{path}: {answer.status_code}")
        return sum(len(piece) for piece in answer.iter_encoded())


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Note every statement that is sent meanwhile."""
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *others: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def _anew(runtime: Runtime, client: FlaskClient) -> Sample:
    """The statement of a usual day, its sums computed while somebody waits."""
    return _file(lambda: _get(client, f"/finance/{USUAL_DAY}?now=1"))


def _csv(runtime: Runtime, client: FlaskClient) -> Sample:
    """The orders of the large day, streamed."""
    return _file(lambda: _get(client, f"/finance/{LARGE_DAY}/orders.csv"))


def _xlsx(runtime: Runtime, client: FlaskClient) -> Sample:
    """The workbook of the large day, as its job makes it."""
    now = datetime.now(UTC)
    export_id = time_ordered_id("exp", now, os.urandom(10))
    with writing(runtime.engine) as connection:
        workbooks.ask(connection, export_id, LARGE_DAY.isoformat(), by=NAME, now=now)
    return _file(lambda: workbook.make_asked(desk_of(runtime), export_id, write=write_workbook, now=now))


def _file(make: Callable[[], object]) -> Sample:
    before = _peak_mb()
    begun = time.perf_counter()
    make()
    return {"seconds": time.perf_counter() - begun, "peak_mb": _peak_mb(), "grew_mb": _peak_mb() - before}


def _peak_mb() -> float:
    """Return the largest resident memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


FILES: dict[str, Callable[..., Sample]] = {"statement-anew": _anew, "csv": _csv, "xlsx": _xlsx}

if __name__ == "__main__":
    main()
