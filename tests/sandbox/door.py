"""The door of a relay on the sandbox's own settings, as far as its provider sees it."""

from __future__ import annotations

from datetime import UTC, datetime

from config.settings import load
from relay.core.callbacks import Callback
from relay.core.parsing import RawRequest, read_callback
from relay.errors import CallbackRejected
from relay.sandbox.plan import Plan
from relay.sandbox.provider import Request


class Door:
    """Verifies and reads each posting as the relay does, and remembers what it accepted."""

    def __init__(self, plan: Plan) -> None:
        self.sources = load(plan.environment()).sources
        self.accepted: list[Callback] = []

    def __call__(self, request: Request) -> tuple[int | None, str]:
        """Answer as the relay does."""
        source = self.sources[request.url.rpartition("/")[2]]
        raw = RawRequest(body=request.body, content_type=request.content_type, query="", headers=request.headers)
        try:
            self.accepted.append(read_callback(source, raw, now=datetime.now(UTC)))
        except CallbackRejected as error:
            return error.http_status, error.code
        return source.adapter.ack.status, source.adapter.ack.body
