"""Own the assembly: the one place that knows which concrete class fills which port."""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Engine

from config.settings import Settings
from config.sources import preset_tables
from relay.core.adapters import Adapter, parse_adapter
from relay.core.addresses import networks
from relay.core.days import Calendar
from relay.core.ids import time_ordered_id
from relay.core.sources import Source
from relay.edge.handler import HTTPHandler
from relay.edge.provider import HTTPProvider
from relay.edge.redis import RedisMemory, connect
from relay.edge.rq import job_queue
from relay.edge.seals import Sealer
from relay.edge.vault import Vault, derive
from relay.flows.close import Desk
from relay.flows.committer import Committer
from relay.flows.creation import Creator
from relay.flows.endpoints import Office
from relay.flows.explaining import Inquirer
from relay.flows.forwarding import Forwarder
from relay.flows.intake import Intake
from relay.flows.reconcile import Bench
from relay.ports import Queue
from relay.store import closes
from relay.store.engine import AUDIT_LOCK, make_engine, writing


@dataclass(frozen=True)
class Runtime:
    """Everything a process of ours works with. Building it opens no connection, so it may be built before a fork."""

    settings: Settings
    engine: Engine
    sources: Mapping[str, Source]
    memory: RedisMemory
    queue: Queue
    vault: Vault
    intake: Intake
    forwarder: Forwarder
    creator: Creator


def build(settings: Settings) -> Runtime:
    """Assemble the runtime of one process."""
    engine = make_engine(settings.database_url)
    client = connect(settings.redis_url, tls_verify=settings.redis_tls_verify)
    memory = RedisMemory(client)
    committer = Committer(engine, memory, clock=now, new_id=new_event_id)
    intake = Intake(settings.sources, committer, clock=now, public_url=settings.public_url)
    return Runtime(
        settings=settings,
        engine=engine,
        sources=settings.sources,
        memory=memory,
        queue=job_queue(settings.secret_keys, "work", client),
        vault=Vault(settings.secret_keys),
        intake=intake,
        forwarder=Forwarder(intake, HTTPHandler(networks(settings.endpoint_allow_cidrs)), settings.sources),
        creator=Creator(
            engine=engine,
            sources=settings.sources,
            provider=HTTPProvider(proxy_url=settings.provider_proxy_url),
            public_url=settings.public_url,
            allow_cidrs=settings.endpoint_allow_cidrs,
            clock=now,
            sleep=time.sleep,
        ),
    )


def office_of(runtime: Runtime) -> Office:
    """Return what the acts on endpoints work with."""
    return Office(
        engine=runtime.engine,
        wrap=runtime.vault.encrypt,
        random=os.urandom,
        new_event_id=new_event_id,
        allow_cidrs=runtime.settings.endpoint_allow_cidrs,
        sources=frozenset(runtime.sources),
    )


def probe_keys(settings: Settings) -> list[bytes]:
    """Return the keys that sign the probes of our own callback URLs; the first signs, all are believed."""
    return [derive(key, b"probe") for key in settings.secret_keys]


def now() -> datetime:
    """Read the clock; everything below is given the moment as a parameter."""
    return datetime.now(UTC)


def new_event_id(moment: datetime) -> str:
    """Return an event id that sorts by time, so that index pages fill one after the other."""
    return f"evt_{int(moment.timestamp() * 1000):012x}{os.urandom(10).hex()}"


def new_act_id(moment: datetime) -> str:
    """Return the id of what a person asks for."""
    return time_ordered_id("ask", moment, os.urandom(10))


def desk_of(runtime: Runtime) -> Desk:
    """Return what the close of a day works with."""
    settings = runtime.settings
    calendar = Calendar(settings.business_timezone, settings.business_cutoff)
    return Desk(runtime.engine, runtime.sources, settings.chains, calendar, new_event_id)


def bench_of(runtime: Runtime, owner: str) -> Bench:
    """Return what a run of the reconciler works with; `owner` names who holds its lease, each time somebody else."""
    return Bench(
        engine=runtime.engine,
        sources=runtime.sources,
        chains=runtime.settings.chains,
        new_id=new_event_id,
        # One person may run it in two shells, and a web process in two threads.
        owner=f"{owner}:{os.urandom(4).hex()}",
    )


def inquirer_of(runtime: Runtime, scope: Collection[str] | None) -> Inquirer:
    """Return what explaining a transaction works with; `scope` are the namespaces whose orders may be shown, None for all."""
    return Inquirer(engine=runtime.engine, chains=runtime.settings.chains, queue=runtime.queue, scope=scope)


@cache
def presets() -> Mapping[str, Adapter]:
    """Return the adapters that come with us, by name."""
    return {name: parse_adapter(name, table) for name, table in preset_tables().items()}


def sealer_of(runtime: Runtime) -> Sealer:
    """Return who seals: the key of the environment, else the one that was made once; its public half is kept for ever."""
    given = runtime.settings.seal_key
    # Of two processes that need the first key at once, the second finds the first one's.
    with writing(runtime.engine, lock=AUDIT_LOCK) as connection:
        known = closes.keys(connection)
        stored = next((key["private"] for key in known if key["private"] is not None), None)
        if given is None and stored is not None:
            return Sealer(b64decode(runtime.vault.decrypt(stored)))
        seed = given or os.urandom(32)
        sealer = Sealer(seed)
        if sealer.id not in {key["id"] for key in known}:
            wrapped = None if given else runtime.vault.encrypt(b64encode(seed).decode())
            closes.add_key(connection, sealer.id, sealer.public, wrapped, now=now())
        return sealer
