"""Own `relay doctor --public`: whether each callback URL leads here from outside, and what of the caller arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from config.settings import Settings
from relay.bootstrap import probe_keys
from relay.core.addresses import networks
from relay.core.calls import Outgoing
from relay.core.probes import HEADER, sign_probe
from relay.edge.handler import HTTPHandler

DEADLINE_S = 10.0
Found = tuple[str, str, str]


def reach_all(settings: Settings, *, at: int) -> Iterator[Found]:
    """Send a signed test to each source's callback URL; yield what, verdict and detail of each. `at` is in unix seconds."""
    handler = HTTPHandler(networks(settings.endpoint_allow_cidrs))
    key = probe_keys(settings)[0]
    for name in settings.sources:
        url = f"{settings.public_url}/callbacks/{name}"
        request = Outgoing(method="POST", url=url, headers={HEADER: sign_probe(key, name, at=at)}, body=b"")
        reply = handler.forward(request, deadline_s=DEADLINE_S)
        if reply.status is None:
            yield f"reach {name}", "fault", f"{url} cannot be reached: {reply.error}"
        else:
            yield from _judged(name, reply.status, reply.body, settings)


def _judged(name: str, status: int, body: bytes, settings: Settings) -> Iterator[Found]:
    what, seen = f"reach {name}", _read(body)
    if status == 401:
        yield what, "fault", "what answers there does not know this SECRET_KEY"
    elif status != 200 or seen is None:
        yield what, "fault", f"something else answers there, with {status}"
    elif seen["source"] is None:
        yield what, "fault", "the relay that answers there has no such source"
    else:
        yield what, "ok", f"seen as {seen['client'] or 'nobody'}, behind {seen['proxies']} proxies"
        if seen["proxies"] != seen["hops"]:
            note = f"TRUSTED_PROXY_HOPS is {seen['hops']} there, and {seen['proxies']} proxies name the caller"
            yield f"{what}, hops", "warning", note


def _read(body: bytes) -> Mapping[str, Any] | None:
    """Return what one of ours says; None for the words of anything else."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    names = {"relay", "source", "client", "proxies", "hops"}
    return told if isinstance(told, dict) and names <= told.keys() else None
