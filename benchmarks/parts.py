"""Own the parts: what each does in one round with one build, and which rounds it takes part in."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import percentile
from benchmarks.machine import CORES, BenchmarkError, Machine, Process, busy_s, wait_until
from benchmarks.systems import FAN_OUT, SUBSCRIBERS, Databases, Naive, Ours, Progress, System

Sample = dict[str, float]

# What a build may leave undone when a part has its figures; nothing is measured in that time.
GRACE_S = 3.0
ARRIVE_WITHIN_S = 60.0
QUIET_S = 0.5
SLOWEST_S = 0.6
# Long enough to see a worker come back from a subscriber that hangs for 15 s.
HANGING_S = 20.0

SLOW_EVERY = 10
MANY = 300
MILLION = 1_000_000
FEW = 10


@dataclass
class Bench:
    """One session: the machine, both builds, and how long a measurement takes."""

    machine: Machine
    seconds: float
    naive: Naive = field(init=False)
    ours: Ours = field(init=False)
    databases: Databases = field(init=False)
    _runs: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.naive, self.ours = Naive(self.machine), Ours(self.machine)
        self.databases = Databases(self.machine)

    def fresh(self) -> None:
        """Empty what outlives a run."""
        self.machine.flush_redis()
        self.machine.reset_sink()

    def load(self, port: int, *options: str) -> Load:
        """Start a load client that has signed its callbacks and waits for the word."""
        run = f"b{next(self._runs)}"
        arguments = ["-m", "benchmarks.load", "--port", str(port), "--run", run, *options]
        return Load(Process("load", arguments, environment={}, directory=self.machine.directory, talks=True))

    def warm_up(self, port: int, *, count: int) -> None:
        """Let the build import, connect and plan before anything is measured."""
        self.load(port, "--count", str(count)).result()


class Load:
    """A load client from its signing to its report."""

    def __init__(self, process: Process) -> None:
        self.process = process
        if process.line() != "ready":
            raise BenchmarkError(f"the load client did not start:\n{process.tail()}")

    def result(self) -> dict[str, Any]:
        """Give the word and return the report."""
        self.process.say("go")
        report: dict[str, Any] = json.loads(self.process.line())
        self.process.stop()
        return report


class Meter:
    """CPU seconds of every process between its making and a reading."""

    def __init__(self, machine: Machine, processes: Mapping[str, Process]) -> None:
        self._machine = machine
        self._processes = processes
        self._before = machine.cpu(processes)
        self._busy, self._started = busy_s(), time.monotonic()

    def per_unit(self, units: float, *, load_cpu_s: float = 0.0) -> Sample:
        """Return microseconds of CPU per unit of work, as `cpu_<process>_us`, and the share that strangers had.

        `others_share` is the part of the machine used by processes that
        are none of ours: above a few percent, rates say little.
        """
        after = self._machine.cpu(self._processes)
        used = {name: after[name] - self._before[name] for name in after} | {"load": load_cpu_s}
        others = busy_s() - self._busy - sum(used.values())
        whole = (time.monotonic() - self._started) * CORES
        return {f"cpu_{name}_us": seconds * 1e6 / max(units, 1) for name, seconds in used.items()} | {
            "others_share": max(others / whole, 0.0)
        }


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """End the processes behind the block, in reverse."""
    with ExitStack() as stack:
        for process in processes:
            stack.callback(process.stop, grace_s=GRACE_S)
        yield


def ingest(bench: Bench, system: System) -> Sample:
    """Callbacks as fast as 32 connections allow; no worker runs."""
    return _ingest(bench, system, bench.databases.empty(system))


def sqlite(bench: Bench, system: System) -> Sample:
    """The same on SQLite with synchronous=FULL."""
    return _ingest(bench, system, bench.databases.sqlite(system))


def _ingest(bench: Bench, system: System, database: str) -> Sample:
    bench.fresh()
    web, port = system.web(database, processes=2)
    with running(web):
        bench.warm_up(port, count=200)
        before = system.stored(database).callbacks
        load = bench.load(port, "--seconds", str(bench.seconds))
        meter = Meter(bench.machine, {"web": web})
        result = load.result()
        used = meter.per_unit(result["ok"], load_cpu_s=result["cpu_s"])
    if not result["ok"] or (system is bench.ours and result["other"]):
        raise BenchmarkError(f"{system.name}: {result['ok']} acked, other answers {result['other']}\n{web.tail()}")
    _check_stored(system, database, acked=before + result["ok"])
    return _answers(result) | used


def _answers(result: dict[str, Any]) -> Sample:
    return {
        "rate": result["rate"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "failed": float(sum(result["other"].values()) + result["unanswered"]),
    }


def wait_until_quiet(process: Process) -> None:
    """Wait until a process has imported what it needs, so that its start is not taken for its work."""
    used = [-QUIET_S, 0.0]

    def is_quiet() -> bool:
        used[:] = [used[1], process.cpu_s()]
        return used[1] > 0.1 and used[1] - used[0] < QUIET_S * 0.1

    wait_until(is_quiet, within_s=20.0, what=lambda: f"{process.name} to be quiet", every_s=QUIET_S)


def _check_stored(system: System, database: str, *, acked: int) -> None:
    stored = system.stored(database)
    if stored.callbacks < acked or stored.events != stored.callbacks or stored.deliveries != FAN_OUT * stored.callbacks:
        raise BenchmarkError(f"{system.name}: {acked} acked, but {stored}")


def deliver(*paths: str, uncounted: str = "") -> Callable[[Bench, System], Sample]:
    """Due deliveries of events that are already stored, to the named paths; those to `uncounted` are not counted."""

    def run(bench: Bench, system: System) -> Sample:
        return _deliver(bench, system, paths, uncounted=uncounted, seconds=bench.seconds)

    return run


def deliver_past_a_deadline(bench: Bench, system: System) -> Sample:
    """The same with one subscriber of ten hanging, for longer than its deadline."""
    return _deliver(bench, system, _ONE_HANGS, uncounted=_ONE_HANGS[0], seconds=HANGING_S)


def _deliver(bench: Bench, system: System, paths: Sequence[str], *, uncounted: str, seconds: float) -> Sample:
    bench.fresh()
    # More than can be delivered in the time, so that the end of the work does not end the measurement early.
    events = int(seconds * (3_000 if system is bench.ours else 100))
    wanted = events * FAN_OUT
    database = bench.databases.filled(system, _name(paths), events=events, paths=paths)
    worker = system.worker(database)
    with running(worker):
        wait_until_quiet(worker)
        system.release(database)
        used = _watch(bench, worker, wanted=wanted, seconds=seconds)
        # The first attempt ends later than it begins, and the window counts from its end.
        time.sleep(SLOWEST_S)
    with bench.machine.connect("run") as connection:
        progress = system.progress(connection, uncounted=uncounted, seconds=seconds)
    _check_delivered(bench, system, progress)
    counted = wanted * sum(path != uncounted for path in paths) // len(paths)
    rate = progress.rate if progress.attempts >= counted else progress.attempts / seconds
    return {"rate": rate, "attempts": float(progress.attempts)} | used


def _name(paths: Sequence[str]) -> str:
    return f"{len(paths)}-{'-'.join(sorted({path.split('/')[0] for path in paths}))}"


def _watch(bench: Bench, worker: Process, *, wanted: int, seconds: float) -> Sample:
    """Wait for the first request, then measure CPU until the time or the work is over."""
    wait_until(
        lambda: bench.machine.totals()["requests"] > 0, within_s=30, what=lambda: f"{worker.name}\n{worker.tail()}"
    )
    meter, begun = Meter(bench.machine, {"worker": worker}), bench.machine.totals()["requests"]
    end, done = time.monotonic() + seconds, begun
    while done < wanted and time.monotonic() < end:
        time.sleep(0.2)
        done = bench.machine.totals()["requests"]
    return meter.per_unit(done - begun)


def _check_delivered(bench: Bench, system: System, progress: Progress) -> None:
    totals = bench.machine.totals()
    if totals["duplicates"] or totals["requests"] < progress.attempts:
        raise BenchmarkError(f"{system.name}: {progress}, but the subscribers saw {totals}")


def both(bench: Bench, system: System) -> Sample:
    """A number of callbacks at once, timed until every subscriber has every event."""
    bench.fresh()
    database = bench.databases.empty(system)
    web, port = system.web(database, processes=2)
    worker = system.worker(database)
    with running(web, worker):
        wait_until_quiet(worker)
        _warm_through(bench, port, count=20)
        events = int(bench.seconds * (1_200 if system is bench.ours else 30))
        load = bench.load(port, "--count", str(events))
        meter = Meter(bench.machine, {"web": web, "worker": worker})
        result = load.result()
        _wait_for_arrivals(bench, events * FAN_OUT)
        used = meter.per_unit(events, load_cpu_s=result["cpu_s"])
    last = max(at for _, _, at in bench.machine.seen())
    _check_arrivals(bench, system, events * FAN_OUT)
    return {"rate": events / (last - result["started"]), "acked_rate": result["rate"]} | used


def _warm_through(bench: Bench, port: int, *, count: int) -> None:
    bench.warm_up(port, count=count)
    _wait_for_arrivals(bench, count * FAN_OUT)
    bench.machine.reset_sink()


def _wait_for_arrivals(bench: Bench, wanted: int) -> None:
    wait_until(
        lambda: bench.machine.totals()["distinct"] >= wanted,
        within_s=ARRIVE_WITHIN_S,
        what=lambda: f"{wanted} arrivals, there are {bench.machine.totals()}",
        every_s=0.1,
    )


def _check_arrivals(bench: Bench, system: System, wanted: int) -> None:
    totals = bench.machine.totals()
    if totals["distinct"] != wanted or totals["duplicates"]:
        raise BenchmarkError(f"{system.name}: {wanted} deliveries expected, the subscribers saw {totals}")


def latency(rate: int) -> Callable[[Bench, System], Sample]:
    """Callbacks at a fixed low pace: from the send of each to its arrival at each subscriber."""

    def run(bench: Bench, system: System) -> Sample:
        bench.fresh()
        database = bench.databases.empty(system)
        web, port = system.web(database, processes=2)
        worker = system.worker(database)
        with running(web, worker):
            wait_until_quiet(worker)
            _warm_through(bench, port, count=20)
            result = bench.load(port, "--rate", str(rate), "--seconds", str(bench.seconds)).result()
            _wait_for_arrivals(bench, result["ok"] * FAN_OUT)
            _check_arrivals(bench, system, result["ok"] * FAN_OUT)
        return _times(bench, result)

    return run


def _times(bench: Bench, result: dict[str, Any]) -> Sample:
    sent = {orderid: (at, acked) for orderid, at, acked in result["times"]}
    arrivals = [(at, *sent[orderid]) for _, orderid, at in bench.machine.seen()]
    from_send = sorted((at - begun) * 1000 for at, begun, _ in arrivals)
    from_ack = sorted((at - acked) * 1000 for at, _, acked in arrivals)
    return {
        "p50_ms": percentile(from_send, 0.50),
        "p99_ms": percentile(from_send, 0.99),
        "ack_p50_ms": result["p50_ms"],
        "ack_p99_ms": result["p99_ms"],
        "from_ack_p50_ms": percentile(from_ack, 0.50),
        "from_ack_p99_ms": percentile(from_ack, 0.99),
        "events": float(result["ok"]),
    }


def memory(bench: Bench, system: System) -> Sample:
    """Resident and proportional memory of each process after some work."""
    bench.fresh()
    database = bench.databases.empty(system)
    web, port = system.web(database, processes=2)
    processes = {"web": web, "worker": system.worker(database)}
    if system is bench.ours:
        processes["clock"] = bench.ours.clock(database)
    with running(*processes.values()):
        _warm_through(bench, port, count=100)
        time.sleep(1.0)
        sample = {"total_pss_mb": 0.0}
        for name, process in processes.items():
            for number, used in enumerate(process.memory()):
                sample |= {f"{name}_{number}_{kind}": value for kind, value in used.items()}
                sample["total_pss_mb"] += used["pss_mb"]
    return sample


def runs(kind: str, orders: int, *, full: bool = True) -> Callable[[Bench, System], Sample]:
    """Runs of the reconciler over a history; with `full` every order of it is judged first."""

    def run(bench: Bench, system: System) -> Sample:
        database = bench.databases.sqlite(system) if kind == "sqlite" else bench.databases.empty(system)
        arguments = ["-m", "benchmarks.reconciler", str(orders), *(["--full"] if full else [])]
        environment = bench.ours.environment(database)
        process = Process(
            "reconciler", arguments, environment=environment, directory=bench.machine.directory, talks=True
        )
        try:
            sample: Sample = json.loads(process.line())
        finally:
            process.stop()
        return sample

    return run


@dataclass(frozen=True)
class Case:
    """One thing a part measures with one build. It takes part in every n-th round, or only the first when `every` is 0."""

    name: str
    system: str
    run: Callable[[Bench, System], Sample]
    every: int = 1

    @property
    def key(self) -> str:
        """Name and build: the key in the results."""
        return f"{self.name}/{self.system}"

    def is_due(self, round_: int) -> bool:
        """Tell whether it runs in this round, counted from 0."""
        return round_ % self.every == 0 if self.every else round_ == 0


def _beside(name: str, run: Callable[[Bench, System], Sample], *, every: int = 1) -> list[Case]:
    return [Case(name, "naive", run, every), Case(name, "ours", run, every)]


_DELAYED_50 = ("delay-50/1", "delay-50/2", "delay-50/3")
_DELAYED_500 = ("delay-500/1", "delay-500/2", "delay-500/3")
_FAILING = ("fail-10/1", "fail-10/2", "fail-10/3")
_ALL_FAST = tuple(f"ok/{number}" for number in range(MANY))
_SOME_SLOW = tuple(f"{'ok' if number % SLOW_EVERY else 'delay-500'}/{number}" for number in range(MANY))
_NONE_HANGS = tuple(f"ok/{number}" for number in range(FEW))
_ONE_HANGS = ("hang/0", *_NONE_HANGS[1:])

PARTS: Mapping[str, Sequence[Case]] = {
    "ingest": _beside("ingest", ingest),
    "deliver": [
        *_beside("deliver", deliver(*SUBSCRIBERS)),
        *_beside("deliver-50ms", deliver(*_DELAYED_50), every=4),
        *_beside("deliver-500ms", deliver(*_DELAYED_500), every=4),
        *_beside("deliver-failing", deliver(*_FAILING), every=4),
    ],
    "both": _beside("both", both),
    # The naive worker delivers about 90 a second, so it would drown at the pace that is low for ours.
    "latency": [Case("latency", "naive", latency(10)), Case("latency", "ours", latency(50))],
    "slow": [
        Case("slow-none", "ours", deliver(*_ALL_FAST)),
        Case("slow-tenth", "ours", deliver(*_SOME_SLOW)),
        Case("slow-tenth", "naive", deliver(*_SOME_SLOW), every=4),
    ],
    "hanging": [
        Case("hanging-none", "ours", deliver(*_NONE_HANGS, uncounted=_NONE_HANGS[0])),
        Case("hanging-one", "ours", deliver(*_ONE_HANGS, uncounted=_ONE_HANGS[0])),
        Case("hanging-one", "naive", deliver_past_a_deadline, every=0),
    ],
    "sqlite": _beside("sqlite", sqlite),
    "memory": _beside("memory", memory, every=0),
    "reconcile": [
        Case("reconcile-postgres-1m", "ours", runs("postgres", MILLION), every=0),
        Case("reconcile-sqlite-1m", "ours", runs("sqlite", MILLION), every=0),
    ],
    "history": [
        Case(f"history-{kind}-{name}", "ours", runs(kind, orders, full=False), every=0)
        for kind in ("postgres", "sqlite")
        for name, orders in (("100k", MILLION // 10), ("1m", MILLION), ("3m", 3 * MILLION))
    ],
}
# Each case of these is a part of its own too, for who has ten minutes: history takes long to make.
PIECES = {case.name: (case,) for part in ("reconcile", "history") for case in PARTS[part]}
# Those that `make bench` leaves out.
ASKED = ("history",)


def measure(bench: Bench, part: str, *, rounds: int, tell: Callable[[str], None]) -> dict[str, list[Sample]]:
    """Run the rounds of a part, the builds in turn, and return the samples of each case."""
    cases = PIECES[part] if part in PIECES else PARTS[part]
    samples: dict[str, list[Sample]] = {case.key: [] for case in cases}
    for round_ in range(rounds):
        for case in cases:
            if case.is_due(round_):
                sample = case.run(bench, bench.ours if case.system == "ours" else bench.naive)
                samples[case.key].append(sample)
                tell(f"{part} round {round_ + 1}/{rounds} {case.key}: {_brief(sample)}")
    return samples


def _brief(sample: Sample) -> str:
    shown = (
        "rate",
        "p50_ms",
        "p99_ms",
        "cpu_web_us",
        "cpu_worker_us",
        "cpu_postgres_us",
        "others_share",
        "full_s",
        "spread_10k_s",
        "total_pss_mb",
    )
    return "  ".join(f"{name} {sample[name]:.4g}" for name in shown if name in sample)
