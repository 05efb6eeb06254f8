"""Own the verdict: medians, the figures that were promised, the table, and results.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parts import PARTS, Sample

RESULTS = Path(__file__).parent / "results.json"

Medians = Mapping[str, Sample]


@dataclass(frozen=True)
class Figure:
    """A promised figure. `of` and `beside` are (case, metric); the measure is their quotient, or `of` alone without `beside`.

    `at_least` or `at_most` bounds it.
    """

    title: str
    of: tuple[str, str]
    prototype: str
    beside: tuple[str, str] | None = None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "x"

    def measure(self, medians: Medians) -> float | None:
        """Return the measure, or None when a case of it has not run."""
        over = _value(medians, self.of)
        if self.beside is None or over is None:
            return over
        under = _value(medians, self.beside)
        return over / under if under else None

    def holds(self, measured: float) -> bool:
        """Tell whether the promise is kept."""
        if self.at_least is not None:
            return measured >= self.at_least
        return self.at_most is None or measured <= self.at_most

    @property
    def must(self) -> str:
        """The bound in words."""
        if self.at_least is not None:
            return f">= {self.at_least:g} {self.unit}"
        return f"<= {self.at_most:g} {self.unit}"


def _value(medians: Medians, where: tuple[str, str]) -> float | None:
    case, metric = where
    return medians.get(case, {}).get(metric)


def _against_naive(title: str, case: str, *, prototype: str, at_least: float) -> Figure:
    beside = (f"{case}/naive", "rate")
    return Figure(title, of=(f"{case}/ours", "rate"), beside=beside, prototype=prototype, at_least=at_least)


FIGURES = (
    _against_naive("callbacks acked durably per second, against naive", "ingest", prototype="20 x", at_least=12),
    Figure(
        "CPU of the web process per callback, naive against ours",
        of=("ingest/naive", "cpu_web_us"),
        beside=("ingest/ours", "cpu_web_us"),
        prototype="20 x",
        at_least=10,
    ),
    _against_naive("deliveries per second, against naive", "deliver", prototype="about 100 x", at_least=35),
    _against_naive(
        "callback to all subscribers, events per second, against naive",
        "both",
        prototype="36-59 x",
        at_least=25,
    ),
    Figure(
        "receive to subscriber, low load, p50", of=("latency/ours", "p50_ms"), prototype="2.5 ms", at_most=20, unit="ms"
    ),
    Figure(
        "receive to subscriber, low load, p99", of=("latency/ours", "p99_ms"), prototype="5 ms", at_most=100, unit="ms"
    ),
    Figure(
        "10 % of endpoints at 500 ms, against none",
        of=("slow-tenth/ours", "rate"),
        beside=("slow-none/ours", "rate"),
        prototype="0.5 x",
        at_least=0.5,
    ),
    Figure(
        "one endpoint hanging: the others, against none hanging",
        of=("hanging-one/ours", "rate"),
        beside=("hanging-none/ours", "rate"),
        prototype="-",
        at_least=0.75,
    ),
    _against_naive("SQLite (FULL), callbacks per second, against naive", "sqlite", prototype="11 x", at_least=8),
)


def medians_of(samples: Mapping[str, Sequence[Sample]]) -> dict[str, Sample]:
    """Return the median of each metric of each case."""
    return {key: _median(taken) for key, taken in samples.items() if taken}


def _median(samples: Sequence[Sample]) -> Sample:
    names = [name for name in samples[0] if all(name in sample for sample in samples)]
    return {name: statistics.median(sample[name] for sample in samples) for name in names}


def save(samples: Mapping[str, Sequence[Sample]], facts: Mapping[str, Any], path: Path = RESULTS) -> dict[str, Any]:
    """Write what was measured over what the file held of the same cases; return the whole.

    Each case bears the machine and moment it was measured on, since parts may be run apart.
    """
    whole = read(path)
    for key, taken in samples.items():
        if taken:
            whole["cases"][key] = {"measured": dict(facts), "median": _median(taken), "rounds": list(taken)}
    path.write_text(json.dumps(_rounded(whole), indent=1, sort_keys=True) + "\n")
    return whole


def read(path: Path = RESULTS) -> dict[str, Any]:
    """Return the saved results, empty when there are none."""
    saved: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"cases": {}}
    return saved


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def table(medians: Medians) -> str:
    """Return the promised figures and then every case, as Markdown."""
    return "\n".join([*_promises(medians), "", *_rates(medians), "", *_memory(medians), "", *_runs(medians)])


def _promises(medians: Medians) -> list[str]:
    rows = ["| figure | prototype | must | measured | |", "|---|---|---|---|---|"]
    for figure in FIGURES:
        measured = figure.measure(medians)
        if measured is not None:
            kept = "kept" if figure.holds(measured) else "**missed**"
            rows.append(
                f"| {figure.title} | {figure.prototype} | {figure.must} | {measured:.3g} {figure.unit} | {kept} |"
            )
    return rows


Column = tuple[str, str, Callable[[float], str]]
_COLUMNS: tuple[Column, ...] = (
    ("per s", "rate", "{:,.0f}".format),
    ("p50 ms", "p50_ms", "{:.1f}".format),
    ("p99 ms", "p99_ms", "{:.1f}".format),
    ("web us", "cpu_web_us", "{:,.0f}".format),
    ("worker us", "cpu_worker_us", "{:,.0f}".format),
    ("Postgres us", "cpu_postgres_us", "{:,.0f}".format),
    ("Redis us", "cpu_redis_us", "{:,.0f}".format),
    ("load us", "cpu_load_us", "{:,.0f}".format),
    ("sink us", "cpu_sink_us", "{:,.0f}".format),
    ("others", "others_share", "{:.0%}".format),
)


def _rates(medians: Medians) -> list[str]:
    return _rows("case", _COLUMNS, [key for key in _keys("memory", *_RUNS) if key in medians], medians)


def _rows(title: str, columns: Sequence[Column], keys: Sequence[str], medians: Medians) -> list[str]:
    rows = [f"| {title} | " + " | ".join(name for name, _, _ in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for key in keys:
        cells = [spell(medians[key][name]) if name in medians[key] else "" for _, name, spell in columns]
        rows.append(f"| {key.replace('/', ', ')} | " + " | ".join(cells) + " |")
    return rows


def _keys(*without: str) -> list[str]:
    return [case.key for part, cases in PARTS.items() if part not in without for case in cases]


def _memory(medians: Medians) -> list[str]:
    rows = ["| process | RSS MB | PSS MB |", "|---|---|---|"]
    for key in ("memory/naive", "memory/ours"):
        sample = medians.get(key, {})
        for name in [name.removesuffix("_pss_mb") for name in sample if name.endswith("_pss_mb")]:
            resident = f"{sample[f'{name}_rss_mb']:.0f}" if f"{name}_rss_mb" in sample else ""
            rows.append(
                f"| {key.split('/')[1]} {name.replace('_', ' ')} | {resident} | {sample[f'{name}_pss_mb']:.0f} |"
            )
    return rows


_RUNS = ("reconcile", "history")
_RUN_COLUMNS: tuple[Column, ...] = (
    ("orders", "orders", "{:,.0f}".format),
    ("all s", "full_s", "{:.0f}".format),
    ("10,000 newest ms", "newest_10k_s", lambda s: f"{1000 * s:,.0f}"),
    ("its CPU ms", "newest_10k_cpu_s", lambda s: f"{1000 * s:,.0f}"),
    ("10,000 spread ms", "spread_10k_s", lambda s: f"{1000 * s:,.0f}"),
    ("1,000 spread ms", "spread_1k_s", lambda s: f"{1000 * s:,.0f}"),
    ("nothing ms", "nothing_s", lambda s: f"{1000 * s:.1f}"),
    ("peak MB", "peak_mb", "{:.0f}".format),
    ("loop, 10,000 s", "loop_10k_s", "{:.0f}".format),
)


def _runs(medians: Medians) -> list[str]:
    keys = [case.key for part in _RUNS for case in PARTS[part]]
    return _rows("run of the reconciler", _RUN_COLUMNS, [key for key in keys if key in medians], medians)
