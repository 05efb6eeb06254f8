"""Own the way out: due deliveries are claimed, signed, sent and settled, by one loop that never waits for the slowest.

Exchanges run side by side in asyncio; every tick is one transaction that
settles what has ended and claims into the slots that became free. The attempt
is committed before its exchange begins, so a killed process leaves a trace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from sqlalchemy import Engine

from relay.core.sentences import text_body
from relay.core.sources import Source
from relay.core.webhooks import key_of, signed_headers
from relay.errors import InvariantBroken, Unavailable, Unprocessable
from relay.flows.health import NOT_RENDERABLE, UNREADABLE_SECRET
from relay.flows.outcomes import is_loud, reclaim, settle_loudly, settle_quietly, settlement_of
from relay.flows.provider_format import as_judged, as_the_provider
from relay.ports import Answer, Outbound
from relay.store import originals, outbox
from relay.store.engine import CLAIM_LOCK, writing
from relay.store.originals import Original
from relay.store.outbox import Claim, Settlement

log = logging.getLogger(__name__)

# A lease outlives the deadline of an exchange by far, so that only a vanished process loses it.
LEASE_S = 45.0
# The net under the doorbell: what became due by time alone, or was rung while Redis was away.
POLL_S = 1.0
# Ticks closer together than this would only make each transaction smaller.
TICK_S = 0.004
# Of a large claim so many are begun at a time: the first are answered while the rest is sent.
# Measured on two cores, three endpoints: 1,500 deliveries a second, against 1,300 with all begun at once.
GROUP = 8
RECLAIM_EVERY_S = 5.0
# An endpoint with a rate is looked at again after this, or when its rate lets the next one through.
PACE_S = 0.1


class Bell(Protocol):
    """Waits for a ring."""

    async def wait(self, timeout_s: float) -> bool:
        """Return True when it rang, False after `timeout_s` seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What a drainer works with. `window` bounds its open exchanges, `owner` names it in leases.

    It is one of `among` that share the slots of each endpoint alike.
    `sources` are those in whose words endpoints of format provider are told,
    `public_url` is where the links of format text lead.
    """

    engine: Engine
    outbound: Outbound
    bell: Bell
    unwrap: Callable[[str], str]
    clock: Callable[[], datetime]
    new_id: Callable[[datetime], str]
    owner: str
    among: int = 1
    sources: Mapping[str, Source] = field(default_factory=dict)
    public_url: str = ""
    window: int = 1_000


async def drain(work: Drain, *, stopping: asyncio.Event) -> int:
    """Deliver until `stopping` is set; return how many attempts were settled.

    Then no new claim is made, open exchanges finish, and their outcomes are
    written.
    """
    return await _Drainer(work, stopping).run()


class _Drainer:
    def __init__(self, work: Drain, stopping: asyncio.Event) -> None:
        self._work = work
        self._stopping = stopping
        self._loop = asyncio.get_running_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._ended: list[Settlement] = []
        self._wake = asyncio.Event()
        self._reclaim_at = 0.0
        self._settled = 0
        self._entries = lru_cache(maxsize=4096)(self._unwrapped)
        self._own_headers = lru_cache(maxsize=4096)(self._unwrapped_headers)

    async def run(self) -> int:
        wakers = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch_stop())]
        try:
            while not self._stopping.is_set() or self._open or self._ended:
                await self._tick()
                await self._pause()
        finally:
            for task in wakers:
                task.cancel()
        return self._settled

    async def _listen(self) -> None:
        while True:
            await self._work.bell.wait(POLL_S)
            self._wake.set()

    async def _watch_stop(self) -> None:
        await self._stopping.wait()
        self._wake.set()

    async def _pause(self) -> None:
        """Sleep until something ended, rang or is to be polled; a busy loop still breathes between two ticks."""
        await asyncio.sleep(TICK_S)
        await self._wake.wait()
        self._wake.clear()

    async def _tick(self) -> None:
        ended, self._ended = self._ended, []
        count = len(ended)
        room = 0 if self._stopping.is_set() else self._work.window - len(self._open)
        try:
            claims, came = await asyncio.to_thread(self._write, ended, room)
        except Unavailable:
            # What is left of them is true all the same: it is written when the database is back.
            self._ended = ended + self._ended
            self._settled += count - len(ended)
            log.warning("outbox_unavailable", extra={"open": len(self._open), "unwritten": len(self._ended)})
            await asyncio.sleep(POLL_S)
            self._wake.set()
            return
        self._settled += count
        await self._send_or_give_back(claims, came)

    def _write(self, ended: list[Settlement], room: int) -> tuple[list[Claim], dict[int, Original]]:
        """The transaction of a tick, in a thread of its own; return what is claimed, and what it is made of."""
        work, now = self._work, self._work.clock()
        loud = [one for one in ended if is_loud(one)]
        if loud:
            settle_loudly(work.engine, loud, now=now, new_id=work.new_id)
            # They are committed, whatever becomes of the rest: a failure that is written twice counts twice.
            ended[:] = [one for one in ended if not is_loud(one)]
        if self._loop.time() >= self._reclaim_at:
            self._reclaim_at = self._loop.time() + RECLAIM_EVERY_S
            reclaim(work.engine, now=now, new_id=work.new_id)
        with writing(work.engine, lock=CLAIM_LOCK) as connection:
            settle_quietly(connection, ended)
            if room <= 0:
                return [], {}
            claims = outbox.claim(connection, owner=work.owner, room=room, now=now, lease_s=LEASE_S, among=work.among)
            as_provider = [claim.event_sequence for claim in claims if claim.format == "provider"]
            return claims, originals.of_credits(connection, as_provider)

    async def _send_or_give_back(self, claims: Sequence[Claim], came: Mapping[int, Original]) -> None:
        # The stop came while these were claimed; unsent they cost no attempt, and another process has them at once.
        if claims and self._stopping.is_set():
            await asyncio.to_thread(self._give_back, claims)
            return
        for rate in {claim.rate for claim in claims if claim.rate is not None}:
            self._loop.call_later(max(PACE_S, 1 / rate), self._wake.set)
        for number, claim in enumerate(claims, start=1):
            task = self._loop.create_task(self._exchange(claim, came.get(claim.event_sequence)))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            if number % GROUP == 0:
                await asyncio.sleep(0)

    def _give_back(self, claims: Sequence[Claim]) -> None:
        try:
            with writing(self._work.engine) as connection:
                outbox.give_back(connection, claims)
        except Unavailable:
            # Their leases end by themselves, and the exchanges that are open have theirs to be settled.
            log.warning("claims_not_given_back", extra={"count": len(claims)})

    async def _exchange(self, claim: Claim, original: Original | None) -> None:
        try:
            answer = await (
                self._post_as_provider(claim, original) if claim.format == "provider" else self._post(claim)
            )
        except Unprocessable as error:
            log.warning("delivery_not_rendered", extra={"delivery_id": claim.delivery_id, "detail": error.detail})
            answer = Answer(status=None, error=NOT_RENDERABLE, latency_ms=0)
        except InvariantBroken:
            log.exception(
                "delivery_not_signed", extra={"delivery_id": claim.delivery_id, "endpoint_id": claim.endpoint_id}
            )
            answer = Answer(status=None, error=UNREADABLE_SECRET, latency_ms=0)
        self._ended.append(settlement_of(claim, answer, now=self._work.clock(), jitter=random.random()))  # noqa: S311  # spreads load, guards nothing
        self._wake.set()

    async def _post(self, claim: Claim) -> Answer:
        now = self._work.clock()
        keys = [key for key, expires_at in self._entries(claim.secrets) if expires_at is None or expires_at > now]
        body = text_body(claim.body, self._work.public_url) if claim.format == "text" else claim.body.encode()
        headers = signed_headers(claim.event_id, body, keys, timestamp=int(now.timestamp()))
        return await self._sent(claim, claim.url, headers, body)

    async def _post_as_provider(self, claim: Claim, original: Original | None) -> Answer:
        newest = json.loads(claim.secrets)[0]["secret"] if claim.signing == "own" else None
        sent = as_the_provider(
            claim,
            original,
            self._work.sources,
            own_key="" if newest is None else self._work.unwrap(newest),
            now=self._work.clock(),
        )
        return as_judged(await self._sent(claim, sent.url, sent.headers, sent.body), sent.source)

    async def _sent(self, claim: Claim, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Post with the endpoint's own headers beside ours, which nothing replaces."""
        if claim.headers is not None:
            ours = {name.lower() for name in headers}
            own = self._own_headers(claim.headers)
            headers = headers | {name: value for name, value in own.items() if name not in ours}
        return await self._work.outbound.post(url, headers=headers, body=body)

    def _unwrapped(self, secrets: str) -> list[tuple[bytes, datetime | None]]:
        """The keys of an endpoint and when each expires; unwrapping is dear, so it is done once for each text."""
        return [
            (key_of(self._work.unwrap(entry["secret"])), _moment(entry["expires_at"])) for entry in json.loads(secrets)
        ]

    def _unwrapped_headers(self, headers: str) -> dict[str, str]:
        return {name: self._work.unwrap(value) for name, value in json.loads(headers).items()}


def _moment(spelled: str | None) -> datetime | None:
    return None if spelled is None else datetime.fromisoformat(spelled)
