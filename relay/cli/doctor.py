"""Own `relay doctor`: what is wrong here, all of it at once, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from urllib.parse import urlsplit

import click
from redis import RedisError
from sqlalchemy import RowMapping

from config.settings import Settings
from relay.bootstrap import Runtime, now
from relay.cli.failures import FAILED, told
from relay.cli.output import as_json, show
from relay.cli.reach import reach_all
from relay.cli.shell import Shell, pass_shell
from relay.core.chains import Chain
from relay.core.multicall import BLOCK_NUMBER
from relay.core.ranges import Range, covered_to, gaps
from relay.core.schemes import separates
from relay.core.sources import Source
from relay.edge.node_loading import nodes_of
from relay.edge.redis import connect, eviction_policy
from relay.edge.solidity import services_of
from relay.errors import NodeFault, Unavailable
from relay.flows.chain_reading import Reader
from relay.flows.namespaces import namespace_faults
from relay.ports import Node, SolidState
from relay.store import chain as chain_store
from relay.store import heartbeats
from relay.store.engine import reading
from relay.store.revisions import revision_state

# A chain is read every ten seconds.
SILENT_S = 120


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `ok`, `warning` (works, but think about it) or `fault`."""

    what: str
    verdict: str
    detail: str


@click.command()
@click.option(
    "--public", is_flag=True, help="Send a signed test to each callback URL, and show who it seems to come from."
)
@as_json
@click.pass_context
@pass_shell
def doctor(shell: Shell, context: click.Context, *, public: bool, as_json: bool) -> None:
    """Look at configuration, database, Redis, processes and sources; exit 1 for a fault, 2 for a bad configuration."""
    moment = now()
    # Unchecked, for a database that is behind is something to tell here, and no reason to end.
    checks = list(_examine(shell.unchecked, moment))
    if public:
        checks += [Check(*found) for found in reach_all(shell.settings, at=int(moment.timestamp()))]
    show(map(asdict, checks), ("verdict", "what", "detail"), as_json=as_json)
    if any(check.verdict == "fault" for check in checks):
        context.exit(FAILED)


def _examine(runtime: Runtime, moment: datetime) -> Iterator[Check]:
    yield Check("configuration", "ok", f"sources: {', '.join(runtime.sources)}")
    yield from _database(runtime, moment)
    yield _redis(runtime.settings)
    yield from _public_url(runtime.settings)
    for source in runtime.sources.values():
        yield Check(f"source {source.name}", "ok", f"{runtime.settings.public_url}/callbacks/{source.name}")
        yield from _doubts(source, runtime.settings)
    for chain in runtime.settings.chains.values():
        yield from _chain(chain)


def _database(runtime: Runtime, moment: datetime) -> Iterator[Check]:
    try:
        state = revision_state(runtime.engine)
    except (Unavailable, OSError) as error:
        yield Check("database", "fault", told(error))
        return
    yield Check("database", "ok", runtime.engine.dialect.name)
    if state in ("empty", "behind"):
        yield Check("revision", "fault", f"{state}; run: python -m relay migrate")
        return
    yield Check("revision", "ok", state)
    for fault in namespace_faults(runtime.engine, runtime.sources):
        yield Check("namespace", "fault", fault)
    with reading(runtime.engine) as connection:
        seen = heartbeats.last_seen(connection)
        chains = chain_store.states(connection)
        read = {one.name: chain_store.ranges_of(connection, one.name) for one in runtime.settings.chains.values()}
    for kind in ("worker", "clock"):
        yield _process(kind, seen.get(kind), moment)
    for chain in runtime.settings.chains.values():
        known = chains.get(chain.name)
        if known is not None and known["stopped"]:
            yield Check(f"chain {chain.name}", "fault", f"stopped: {known['stopped']}")
        elif chain.is_on:
            yield _coverage(chain, known, read[chain.name], moment)


def _coverage(chain: Chain, state: RowMapping | None, ranges: Sequence[Range], moment: datetime) -> Check:
    """Tell how far a chain was read, whether without a hole, and what keeps it from going on."""
    what = f"chain {chain.name}"
    if state is None or state["first_block"] is None or state["scanned_at"] is None:
        return Check(what, "warning", "was not read yet; a worker and a clock read it")
    age = int((moment - state["scanned_at"]).total_seconds())
    reached = covered_to(ranges, state["first_block"])
    read = f"read from block {state['first_block']} to {reached}, final to {state['final_number']}, {age} s ago"
    if holes := gaps(ranges, state["first_block"], max((one.last for one in ranges), default=reached)):
        return Check(what, "warning", f"{read}; blocks {holes[0][0]} to {holes[0][1]} are read next: they are a hole")
    if state["trouble"] or age > SILENT_S:
        return Check(what, "warning", f"degraded: {state['trouble'] or 'no scan came to its end lately'}; {read}")
    return Check(what, "ok", f"{read}, without a hole")


def _process(kind: str, seen: datetime | None, moment: datetime) -> Check:
    if seen is None:
        return Check(kind, "fault", f"never seen; start: python -m jobs.{kind}")
    age = int((moment - seen).total_seconds())
    return Check(kind, "ok" if moment - seen <= heartbeats.SILENT_AFTER else "fault", f"seen {age} s ago")


def _chain(chain: Chain) -> Iterator[Check]:
    what = f"chain {chain.name}"
    if not chain.is_on:
        yield Check(what, "ok", f"off; CHAIN_{chain.name.upper()}_RPC_URLS names no node")
        return
    yield from (Check(f"{what}, node {node.name}", *_node(chain, node)) for node in nodes_of(chain))
    yield from (Check(f"{what}, solidity {one.name}", *_service(chain, one)) for one in services_of(chain))
    if len(chain.nodes) == 1:
        yield Check(what, "warning", "has one node: nothing that it leaves out can be found by another")


def _node(chain: Chain, node: Node) -> tuple[str, str]:
    """Return verdict and detail of a node: whether it answers, and tells of the chain and tokens of the configuration."""
    reader = Reader(chain, node)
    try:
        tips, fault = reader.tips(())
        lacks = reader.multicall_fault()
    except NodeFault as error:
        return "fault" if error.code == "wrong_chain" else "warning", told(error)
    if fault is not None:
        return "fault", fault
    return ("ok", f"head {tips.head.number}") if lacks is None else ("warning", lacks)


def _service(chain: Chain, service: SolidState) -> tuple[str, str]:
    if chain.multicall is None:
        return "warning", "is not asked: without a Multicall3 nobody knows of which block its balances are"
    try:
        return "ok", f"solidified {int(service.call(chain.multicall, BLOCK_NUMBER, ''), 16)}"
    except NodeFault as error:
        return "warning", told(error)
    except ValueError:
        return "warning", "does not tell its block"


def _redis(settings: Settings) -> Check:
    # A person can wait for what a callback must not wait for.
    with closing(connect(settings.redis_url, tls_verify=settings.redis_tls_verify, timeout_s=2)) as client:
        try:
            client.ping()
        except (RedisError, OSError) as error:
            return Check("redis", "fault", f"does not answer ({type(error).__name__}); callbacks are safe, but slower")
        policy = eviction_policy(client)
    if policy is None:
        return Check("redis", "warning", "does not tell its eviction policy; it should be noeviction")
    if policy != "noeviction":
        return Check("redis", "warning", f"may drop jobs when it is full: maxmemory-policy is {policy}, not noeviction")
    return Check("redis", "ok", policy)


def _public_url(settings: Settings) -> Iterator[Check]:
    parts, hops = urlsplit(settings.public_url), settings.trusted_proxy_hops
    is_local = parts.hostname == "localhost" or (parts.hostname or "").startswith("127.")
    yield Check("public url", "ok", settings.public_url)
    if is_local:
        yield Check("public url", "warning", "no provider can reach this machine; set PUBLIC_URL")
    elif parts.scheme == "http":
        yield Check("public url", "warning", "callbacks travel without TLS")
    if parts.scheme == "https" and not hops:
        note = "TRUSTED_PROXY_HOPS is 0, but something in front of us ends TLS: its address is taken for every caller's"
        yield Check("proxy hops", "warning", note)
    elif is_local and hops:
        note = f"TRUSTED_PROXY_HOPS is {hops}: a caller without that many proxies in between names its own address"
        yield Check("proxy hops", "warning", note)
    else:
        yield Check("proxy hops", "ok", str(hops))


def _doubts(source: Source, settings: Settings) -> Iterator[Check]:
    what = f"source {source.name}"
    is_believed = source.credits and not source.needs_evidence and source.unknown_orders == "accept"
    if is_believed and not separates(source.adapter.scheme):
        yield Check(what, "warning", "signs without separators, and its signature alone credits what nobody registered")
    if source.allow_ips and not settings.trusted_proxy_hops:
        yield Check(what, "warning", "allow_ips with TRUSTED_PROXY_HOPS 0: behind a proxy every address is the proxy's")
