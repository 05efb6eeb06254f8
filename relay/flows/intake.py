"""Own the one door: bytes from a provider, or a fact from the reconciler, become a verdict that is committed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

from relay.core.addresses import client_group
from relay.core.callbacks import Callback
from relay.core.orders import Verdict
from relay.core.parsing import RawRequest, claimed_orderid, read_callback
from relay.core.policies import with_part
from relay.core.sources import Source
from relay.errors import CallbackRejected
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival

# A caller waits this long for the commit; providers give up after 3 s to 15 s, and then repeat.
WAIT_S = 5.0
# Kept for review; the rest of a request's headers is noise or none of our business.
KEPT_HEADERS = frozenset({"content-type", "content-encoding", "user-agent", "x-forwarded-for", "x-request-id", "date"})
# Of a rejected request all others are kept too, but so many, so long, and none that only says who somebody is.
MOST_HEADERS, MOST_VALUE = 40, 1_024
FORGOTTEN_HEADERS = frozenset({"cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it reached the callback route. `body` is None when it was too large to be read."""

    source: str
    raw: RawRequest
    address: str
    request_id: str | None
    method: str = "POST"
    refused: CallbackRejected | None = None


class Intake:
    """Accepts callbacks for the configured sources."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        committer: Committer,
        *,
        clock: Callable[[], datetime],
        public_url: str = "",
    ) -> None:
        self._sources = sources
        self._committer = committer
        self._clock = clock
        self._public_url = public_url

    @property
    def alive(self) -> bool:
        """Whether callbacks can still be committed by this process."""
        return self._committer.alive

    def takes_query(self, source: str) -> bool:
        """Tell whether this source's provider calls with a GET that has everything in its query."""
        found = self._sources.get(source)
        return found is not None and found.adapter.body == "query"

    def receive(self, request: Request, *, wait_s: float = WAIT_S) -> tuple[Source, Verdict]:
        """Verify, judge and commit one request; return its source and verdict, both already durable.

        Raises CallbackRejected when it is refused (the request is stored for
        review first), Unavailable when it was not committed within `wait_s`.
        """
        now = self._clock()
        arrival = Arrival(raw=_raw_columns(request, now, self._signed_headers(request)))
        try:
            arrival.source, arrival.callback = self._read(request, now)
        except CallbackRejected as refused:
            arrival.raw |= {"reason": refused.code, "headers": _reviewed_headers(request.raw.headers)}
            arrival.raw |= self._claimed(request)
            self._committer.submit(arrival, timeout_s=wait_s)
            raise
        return arrival.source, self._judged(arrival, wait_s)

    def accept(self, callback: Callback, source: Source, *, request_id: str | None = None) -> Verdict:
        """Commit a callback that did not come by HTTP, such as a recovered one, through the same door."""
        arrival = Arrival(
            raw={"source": source.name, "request_id": request_id, "received_at": self._clock()},
            callback=with_part(callback, source),
            source=source,
        )
        return self._judged(arrival)

    def reprocess(self, stored: Request, *, dry_run: bool) -> Verdict | None:
        """Take a stored request through the door again, with today's configuration.

        Returns the verdict; None for a dry run that would be accepted or
        found a duplicate. Raises CallbackRejected when it would still be
        refused; nothing more is stored then.
        """
        now = self._clock()
        source, callback = self._read(stored, now, fresh=False)
        if dry_run:
            return None
        raw = _raw_columns(stored, now, self._signed_headers(stored))
        return self._judged(Arrival(raw=raw, callback=callback, source=source))

    def _signed_headers(self, request: Request) -> frozenset[str]:
        """The headers that a source's signature needs: without them a stored request could never verify again."""
        found = self._sources.get(request.source)
        if found is None:
            return frozenset()
        scheme = found.adapter.scheme
        return scheme.headers(request.raw.header(scheme.name))

    def _read(self, request: Request, now: datetime, *, fresh: bool = True) -> tuple[Source, Callback]:
        source = self._sources.get(request.source)
        if source is None:
            raise CallbackRejected("no such source", code="unknown_source", http_status=404)
        if not admits(source, request.address):
            raise CallbackRejected("this address may not call back", code="address_not_allowed", http_status=403)
        if request.refused is not None:
            raise request.refused
        url = f"{self._public_url}/callbacks/{source.name}"
        return source, with_part(read_callback(source, request.raw, now=now, url=url, fresh=fresh), source)

    def _claimed(self, request: Request) -> dict[str, str]:
        """The order that a refused request names: when it was paid after all, a person is shown why nobody was told."""
        source = self._sources.get(request.source)
        orderid = None if source is None or request.raw.body is None else claimed_orderid(source, request.raw)
        return {} if source is None or orderid is None else {"namespace": source.namespace, "orderid": orderid}

    def _judged(self, arrival: Arrival, wait_s: float = WAIT_S) -> Verdict:
        verdict = self._committer.submit(arrival, timeout_s=wait_s)
        if verdict is Verdict.FORGERY:
            raise CallbackRejected("this signature was seen over other fields", code="forgery", http_status=401)
        assert verdict is not None  # noqa: S101  # only a rejected arrival has none, and this one was read
        return verdict


def _reviewed_headers(headers: Mapping[str, str]) -> str:
    """Whichever header carries the signature of a source that is not configured yet, or wrongly, is needed later."""
    kept = {
        name: value for name, value in headers.items() if name not in FORGOTTEN_HEADERS and len(value) <= MOST_VALUE
    }
    return json.dumps(dict(islice(kept.items(), MOST_HEADERS)))


def admits(source: Source, address: str) -> bool:
    """Tell whether a source may call from an address; one that is not known, as behind a Unix socket, is on no list."""
    if not source.allow_ips:
        return True
    return bool(address) and any(ip_address(address) in ip_network(network) for network in source.allow_ips)


def _raw_columns(request: Request, now: datetime, signed: frozenset[str]) -> dict[str, Any]:
    raw = request.raw
    kept = {name: value for name, value in raw.headers.items() if name in KEPT_HEADERS or name in signed}
    return {
        # Postgres holds no NUL in a text, and an unknown source's name is the sender's choice.
        "source": request.source.replace("\0", ""),
        "address": request.address,
        "address_group": client_group(request.address),
        "request_id": request.request_id,
        "content_type": raw.content_type,
        "query": raw.query or None,
        "headers": json.dumps(kept) if kept else "{}",
        "body": raw.body,
        "received_at": now,
    }
