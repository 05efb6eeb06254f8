"""Own `relay doctor`: what is wrong here, all of it at once, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import click

from relay.bootstrap import Runtime, now
from relay.cli.output import as_json, show
from relay.cli.shell import FAILED, Shell, pass_shell
from relay.core.sources import Source
from relay.edge.redis import connect, eviction_policy
from relay.errors import Unavailable
from relay.store import heartbeats
from relay.store.engine import reading
from relay.store.migrate import revision_state


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `ok`, `warning` (works, but think about it) or `fault`."""

    what: str
    verdict: str
    detail: str


@click.command()
@as_json
@click.pass_context
@pass_shell
def doctor(shell: Shell, context: click.Context, *, as_json: bool) -> None:
    """Look at configuration, database, Redis, processes and sources; exit 1 for a fault, 2 for a bad configuration."""
    checks = list(_examine(shell.unchecked, now()))
    show(map(asdict, checks), ("verdict", "what", "detail"), as_json=as_json)
    if any(check.verdict == "fault" for check in checks):
        context.exit(FAILED)


def _examine(runtime: Runtime, moment: datetime) -> Iterator[Check]:
    yield Check("configuration", "ok", f"{len(runtime.sources)} sources")
    yield from _database(runtime, moment)
    yield _redis(runtime)
    for source in runtime.sources.values():
        yield Check(f"source {source.name}", "ok", f"{runtime.settings.public_url}/callbacks/{source.name}")
        yield from _doubts(source, runtime)


def _database(runtime: Runtime, moment: datetime) -> Iterator[Check]:
    try:
        state = revision_state(runtime.engine)
    except Unavailable as error:
        yield Check("database", "fault", error.detail)
        return
    yield Check("database", "ok", runtime.engine.dialect.name)
    if state in ("empty", "behind"):
        yield Check("revision", "fault", f"{state}; run: python -m relay migrate")
        return
    yield Check("revision", "ok", state)
    with reading(runtime.engine) as connection:
        seen = heartbeats.last_seen(connection)
    for kind in ("worker", "clock"):
        yield _process(kind, seen.get(kind), moment)


def _process(kind: str, seen: datetime | None, moment: datetime) -> Check:
    if seen is None:
        return Check(kind, "fault", f"never seen; start: python -m jobs.{kind}")
    age = int((moment - seen).total_seconds())
    return Check(kind, "ok" if moment - seen <= heartbeats.SILENT_AFTER else "fault", f"seen {age} s ago")


def _redis(runtime: Runtime) -> Check:
    if not runtime.memory.answers():
        return Check("redis", "fault", "does not answer; callbacks are safe, deliveries wait for it")
    settings = runtime.settings
    policy = eviction_policy(connect(settings.redis_url, tls_verify=settings.redis_tls_verify, timeout_s=2))
    if policy is None:
        return Check("redis", "warning", "does not tell its eviction policy; it should be noeviction")
    if policy != "noeviction":
        return Check("redis", "warning", f"may drop jobs when it is full: maxmemory-policy is {policy}, not noeviction")
    return Check("redis", "ok", policy)


def _doubts(source: Source, runtime: Runtime) -> Iterator[Check]:
    what = f"source {source.name}"
    if not source.adapter.scheme.joiner and source.unknown_orders == "accept":
        yield Check(what, "warning", "signs without separators and credits orders that nobody registered")
    if source.allow_ips and not runtime.settings.trusted_proxy_hops:
        yield Check(what, "warning", "allow_ips with TRUSTED_PROXY_HOPS 0: behind a proxy every address is the proxy's")
