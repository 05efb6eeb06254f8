"""Own the job that judges what changed, recovers what is missing, raises alarms, and tells whoever watches us that it was done."""

from __future__ import annotations

import os
import socket

from jobs.parts import runtime
from relay.bootstrap import bench_of, new_event_id, now
from relay.core.addresses import networks
from relay.edge.heartbeat import request_heartbeat
from relay.flows import alarms
from relay.flows.rounds import go_round


def run() -> str:
    """Go one round; return how it ended."""
    bench = bench_of(runtime(), f"{socket.gethostname()}:{os.getpid()}")
    done = go_round(bench, runtime().intake, clock=now)
    alarms.watch(runtime().engine, runtime().sources, now=now(), new_id=new_event_id)
    runtime().memory.ring()
    settings = runtime().settings
    # A run that a person asks for is no sign that the clock is alive.
    if settings.heartbeat_url and done.state == "complete":
        request_heartbeat(settings.heartbeat_url, networks(settings.endpoint_allow_cidrs))
    return done.state
