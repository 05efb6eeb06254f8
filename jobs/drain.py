"""Own the resident delivery job: one event loop that delivers what is due until its time is over."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Awaitable, Callable

from jobs.parts import runtime
from jobs.stopping import STOP
from relay.bootstrap import Runtime, new_event_id, now
from relay.core.addresses import networks
from relay.edge.outbound import AiohttpOutbound
from relay.edge.redis import AsyncBell
from relay.flows.delivery import Drain, drain

# While a resident waits for its last exchanges it claims nothing new, which one hanging endpoint can stretch
# to 15 s. A long residence makes that rare, and a short one would gain nothing.
RESIDENCE_S = 3600
LOOK_EVERY_S = 2.0


def run() -> int:
    """Deliver for RESIDENCE_S, or until the process is asked to stop; return how many attempts were settled."""
    return asyncio.run(_reside(runtime(), functools.partial(asyncio.sleep, RESIDENCE_S)))


def run_until(is_over: Callable[[], bool]) -> int:
    """Deliver until `is_over`, asked in a thread every LOOK_EVERY_S, or until the process is asked to stop."""
    return asyncio.run(_reside(runtime(), functools.partial(_look, is_over)))


async def _reside(parts: Runtime, end: Callable[[], Awaitable[None]]) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    settings = parts.settings
    async with (
        AiohttpOutbound(networks(settings.endpoint_allow_cidrs)) as outbound,
        AsyncBell(settings.redis_url, tls_verify=settings.redis_tls_verify) as bell,
    ):
        work = Drain(
            engine=parts.engine,
            outbound=outbound,
            bell=bell,
            unwrap=parts.vault.decrypt,
            clock=now,
            new_id=new_event_id,
            sources=parts.sources,
            public_url=settings.public_url,
            among=settings.deliverers,
            owner=f"{socket.gethostname()}:{os.getpid()}",
        )
        ending = asyncio.create_task(_set_after(end, stopping))
        with STOP.told_to(functools.partial(_wake, loop, stopping)):
            try:
                return await drain(work, stopping=stopping)
            finally:
                ending.cancel()


def _wake(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    # A signal's handler runs between any two instructions of the loop, and may not touch it otherwise.
    loop.call_soon_threadsafe(stopping.set)


async def _set_after(end: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    await end()
    stopping.set()


async def _look(is_over: Callable[[], bool]) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if await asyncio.to_thread(is_over):
            return
