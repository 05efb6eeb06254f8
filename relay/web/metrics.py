"""Own the figures that a Prometheus scrapes: read from SQL at that moment, so that every process tells the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar, cast

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from relay.store import figures, heartbeats
from relay.store.engine import reading

EXTENSION = "relay.metrics"

Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)


def measure(app: Flask, engine: Engine) -> None:
    """Give an application its registry; it reads nothing before the first scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(engine, clock=lambda: datetime.now(UTC)))
    app.extensions[EXTENSION] = registry


def registry_of(app: Flask) -> CollectorRegistry:
    """Return the registry of an application."""
    return cast("CollectorRegistry", app.extensions[EXTENSION])


class Figures(Collector):
    """Reads the figures of one scrape in one transaction."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._verdicts = figures.VerdictCount()

    def describe(self) -> Iterator[Metric]:
        """Name nothing in advance: that would read the database when the application is created."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        now = self._clock()
        with reading(self._engine) as connection:
            backlog = figures.backlog(connection)
            verdicts = self._verdicts.read(connection, now=now)
            breaks = figures.open_breaks(connection)
            seen = heartbeats.last_seen(connection)
        waiting = GaugeMetricFamily("relay_delivery_backlog", "Deliveries on their way", labels=["endpoint"])
        oldest = GaugeMetricFamily(
            "relay_delivery_oldest_age_seconds", "Age of the oldest of them", labels=["endpoint"]
        )
        for endpoint, (count, since) in backlog.items():
            waiting.add_metric([endpoint], count)
            oldest.add_metric([endpoint], (now - since).total_seconds())
        yield waiting
        yield oldest
        yield _filled(CounterMetricFamily("relay_callbacks", "Callbacks by verdict", labels=["verdict"]), verdicts)
        yield _filled(GaugeMetricFamily("relay_breaks_open", "Open breaks", labels=["severity"]), breaks)
        ages = {kind: (now - moment).total_seconds() for kind, moment in seen.items()}
        yield _filled(
            GaugeMetricFamily("relay_heartbeat_age_seconds", "Since a process was seen", labels=["kind"]), ages
        )


def _filled(family: Family, values: dict[str, float]) -> Family:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
