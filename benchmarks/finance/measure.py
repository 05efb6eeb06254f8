"""Own the part `finance`: a month is stored once, and each page and file is asked for by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.finance import books
from benchmarks.finance.pages import FILES, PAGES, Sample
from benchmarks.machine import ROOT, Machine, open_machine
from benchmarks.systems import Ours


def run() -> int:
    """Print what each page and each file costs; 1 where one could not be made."""
    with open_machine() as machine:
        environment = _stored(machine)
        print("| page | p50 ms | p99 ms | statements |\n|---|---|---|---|", flush=True)
        for name in PAGES:
            _print(name, _asked(name, environment), ("p50_ms", "p99_ms", "queries"))
        print("\n| page or file | seconds | peak MB | of it grown |\n|---|---|---|---|", flush=True)
        for name in FILES:
            _print(name, _asked(name, environment), ("seconds", "peak_mb", "grew_mb"))
    return 0


def _stored(machine: Machine) -> dict[str, str]:
    """Store the month; return the environment of whoever looks at it."""
    ours, name = Ours(machine), "books"
    database = machine.new_database(name)
    ours.prepare(database)
    with machine.connect(name) as connection:
        books.fill(connection)
    return ours.environment(database)


def _asked(what: str, environment: Mapping[str, str]) -> Sample:
    command = [sys.executable, "-m", "benchmarks.finance.pages", what]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    measured: Sample = json.loads(done.stdout.splitlines()[-1])
    return measured


def _print(name: str, measured: Sample, shown: tuple[str, ...]) -> None:
    print(f"| {name} | {' | '.join(f'{measured[one]:,.1f}' for one in shown)} |", flush=True)
