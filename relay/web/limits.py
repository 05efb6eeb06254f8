"""Own how often a key may call the API, and how its holder is told.

The fields follow draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy`
names the quota and its window, `RateLimit` what remains and for how long.
"""

from __future__ import annotations

from flask import Flask, Response, g, request

from relay.bootstrap import now
from relay.errors import TooMany
from relay.web.context import actor, runtime

# Enough to read 25,000 events a second; a loop that has run wild does more.
QUOTA = 6_000
WINDOW_S = 60


def limit(app: Flask) -> None:
    """Count the calls of each key, registered behind the guard; without Redis nobody counts, and nobody is refused."""

    @app.before_request
    def _count() -> None:
        if not request.path.startswith("/v1/") or "actor" not in g:
            return
        window, into = divmod(int(now().timestamp()), WINDOW_S)
        count = runtime().memory.count(f"{actor().id}:{window}", ttl_s=2 * WINDOW_S)
        if count is None:
            return
        g.rate_left, g.rate_reset_s = max(QUOTA - count, 0), WINDOW_S - into
        if count > QUOTA:
            raise TooMany(f"a key may call {QUOTA} times in {WINDOW_S} s", retry_after_s=g.rate_reset_s)

    @app.after_request
    def _tell(response: Response) -> Response:
        if "rate_left" in g:
            response.headers.add("RateLimit-Policy", f'"key";q={QUOTA};w={WINDOW_S}')
            response.headers.add("RateLimit", f'"key";r={g.rate_left};t={g.rate_reset_s}')
        return response
