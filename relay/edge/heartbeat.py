"""Own the request that tells whoever watches us from outside that a run was complete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from relay.core.addresses import Network
from relay.edge.outbound import AiohttpOutbound
from relay.ports import Answer

log = logging.getLogger(__name__)

DEADLINE_S = 5.0


def request_heartbeat(url: str, allow: Sequence[Network]) -> bool:
    """Get the URL once, over the same guarded way as deliveries; return whether it answered 2xx. Never raises.

    The URL itself is the secret of most watchers, so the log does not name it.
    """
    answer = asyncio.run(_get(url, allow))
    is_heard = answer.status is not None and 200 <= answer.status < 300
    if not is_heard:
        log.warning("heartbeat_not_heard", extra={"status": answer.status, "error": answer.error})
    return is_heard


async def _get(url: str, allow: Sequence[Network]) -> Answer:
    async with AiohttpOutbound(allow, deadline_s=DEADLINE_S) as outbound:
        return await outbound.get(url)
