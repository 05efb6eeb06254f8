"""Own the figures that a Prometheus scrapes: read from SQL and Redis at that moment, so that every process tells the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from relay.bootstrap import Runtime, now
from relay.store import figures, heartbeats
from relay.store.engine import reading

EXTENSION = "relay.metrics"

# By their label, by the tuple of their labels, or by () where there are none.
Values = Mapping[Any, float]


def measure(app: Flask, runtime: Runtime) -> None:
    """Give an application its registry; it reads nothing before the first scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(runtime, clock=now))
    app.extensions[EXTENSION] = registry


def registry_of(app: Flask) -> CollectorRegistry:
    """Return the registry of an application."""
    return cast("CollectorRegistry", app.extensions[EXTENSION])


class Figures(Collector):
    """Reads the figures of one scrape: SQL in one transaction, Redis in one exchange."""

    def __init__(self, runtime: Runtime, *, clock: Callable[[], datetime]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._verdicts = figures.VerdictCount()

    def describe(self) -> Iterator[Metric]:
        """Name nothing in advance: that would read the database when the application is created."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every figure; a series that nothing is known of is absent."""
        now = self._clock()
        with reading(self._runtime.engine) as connection:
            yield from self._of_callbacks(connection, now)
            yield from _of_deliveries(connection, now)
            yield from _of_reconciling(connection, now)
            yield from _of_chains(connection, now)
            ages = _ages(heartbeats.last_seen(connection), now)
        yield _gauge("relay_heartbeat_age_seconds", "Since a process of a kind was seen alive", ages, "kind")
        yield from self._of_redis()

    def _of_callbacks(self, connection: Connection, now: datetime) -> Iterator[Metric]:
        verdicts = self._verdicts.read(connection, now=now)
        yield _counter("relay_callbacks", "Callbacks by verdict, refused ones by reason", verdicts, "verdict", "reason")

    def _of_redis(self) -> Iterator[Metric]:
        found = self._runtime.memory.figures()
        yield _gauge("relay_redis_up", "Whether Redis answers", {(): float(found is not None)})
        if found is not None:
            yield _counter("relay_callbacks_repeated", "Callbacks that were known already", {(): found.repeats})
            yield _gauge("relay_queue_depth", "Jobs that wait in a queue", found.depths, "queue")


def _of_deliveries(connection: Connection, now: datetime) -> Iterator[Metric]:
    backlog = figures.backlog(connection)
    waiting = {endpoint: count for endpoint, (count, _) in backlog.items()}
    oldest = _ages({endpoint: since for endpoint, (_, since) in backlog.items()}, now)
    failing = _ages(figures.failing(connection), now)
    yield _gauge("relay_delivery_backlog", "Deliveries on their way to an endpoint", waiting, "endpoint")
    yield _gauge("relay_delivery_oldest_age_seconds", "Age of the oldest of them", oldest, "endpoint")
    yield _gauge(
        "relay_deliveries_dead", "Deliveries that were given up", figures.dead_by_endpoint(connection), "endpoint"
    )
    yield _gauge("relay_endpoint_failing_seconds", "For how long an endpoint has only failed", failing, "endpoint")
    yield _gauge("relay_endpoints_off", "Endpoints that are told nothing", figures.switched_off(connection), "state")


def _of_reconciling(connection: Connection, now: datetime) -> Iterator[Metric]:
    found = figures.reconciler(connection)
    undecided = {state: count for state, (count, _) in figures.undecided(connection).items()}
    yield _gauge("relay_breaks_open", "Open breaks, 1 the most urgent", figures.open_breaks(connection), "severity")
    yield _gauge("relay_orders_undecided", "Orders that wait for a person or a witness", undecided, "state")
    yield _gauge("relay_reconciler_backlog", "Orders of which a fact changed since a run looked", {(): found.waiting})
    yield _gauge("relay_reconciler_incomplete", "Whether the newest run saw less than all", {(): not found.is_complete})
    if found.looked_at is not None:
        age = (now - found.looked_at).total_seconds()
        yield _gauge("relay_reconciler_age_seconds", "Since a run looked last", {(): age})


def _of_chains(connection: Connection, now: datetime) -> Iterator[Metric]:
    found = figures.chain_figures(connection)
    behind = {name: one.behind for name, one in found.items() if one.behind is not None}
    ages = _ages({name: one.scanned_at for name, one in found.items() if one.scanned_at is not None}, now)
    stopped = {name: float(one.is_stopped) for name, one in found.items()}
    yield _gauge("relay_chain_lag_blocks", "Blocks between a chain's head and the last that was read", behind, "chain")
    yield _gauge("relay_chain_age_seconds", "Since a chain was read", ages, "chain")
    yield _gauge("relay_chain_stopped", "Whether a chain is read no more until a person has looked", stopped, "chain")


def _ages(moments: Mapping[str, datetime], now: datetime) -> dict[str, float]:
    return {label: (now - moment).total_seconds() for label, moment in moments.items()}


def _gauge(name: str, told: str, values: Values, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(name, told, labels=labels), values)


def _counter(name: str, told: str, values: Values, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(name, told, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for label, value in values.items():
        family.add_metric([label] if isinstance(label, str) else list(label), value)
    return family
