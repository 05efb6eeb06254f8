"""Own an observed source that has its old handler behind us: the handler is told first, and what it says is the answer.

What the handler did not acknowledge is kept for review, but not as
observed: the provider sends it again, and whoever credits by then, the
handler or we, must not find it taken for credited.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

from relay.core.forwarding import acknowledges, forwarded
from relay.core.orders import Verdict
from relay.core.sources import Source
from relay.errors import CallbackRejected, Unavailable
from relay.flows.intake import Intake, Request
from relay.ports import OldHandler, Reply

log = logging.getLogger(__name__)

# Providers give up after 3 s to 15 s. A handler that was slow before may be as slow behind us.
HANDLER_S = 12.0
# A handler that has said nothing for so long may never; what came is kept before we, too, might end.
KEPT_AFTER_S = 3.0
# The handler has decided; so long its answer waits for our own commit, and then goes without.
COMMIT_S = 2.0
# Of a process's 32 threads; a handler that hangs must leave some to the other sources.
PLACES, PLACE_WITHIN_S = 12, 0.25


class Forwarder:
    """Hands the callbacks of such sources on, and has them observed; `names` are the sources."""

    def __init__(
        self,
        intake: Intake,
        handler: OldHandler,
        sources: Mapping[str, Source],
        *,
        kept_after_s: float = KEPT_AFTER_S,
        places: int = PLACES,
    ) -> None:
        self._intake = intake
        self._handler = handler
        self._sources = {name: source for name, source in sources.items() if source.upstream_handler}
        self._kept_after_s = kept_after_s
        self._places = threading.BoundedSemaphore(places)
        self.names = frozenset(self._sources)

    def receive(self, request: Request) -> tuple[int, bytes, str]:
        """Forward a request and observe it; return status, body and content type of the handler's answer.

        Our own objections, and a database that is away, change nothing of the
        answer. Raises Unavailable when the handler gave none, CallbackRejected
        for a request whose bytes are not all there.
        """
        if request.refused is not None:
            self._intake.receive(request)
            raise request.refused
        source, silent = self._sources[request.source], _refused(request, "handler_silent")
        was_kept = threading.Event()

        def keep_early() -> None:
            was_kept.set()
            self._keep(silent)

        keeping = threading.Timer(self._kept_after_s, keep_early)
        keeping.daemon = True
        keeping.start()
        reply = self._tell(source, request)
        keeping.cancel()
        # One that has begun ends first, or the same request would be kept twice.
        keeping.join()
        if reply.status is not None and acknowledges(source, reply.status, reply.body):
            self._keep(request)
        elif not was_kept.is_set():
            self._keep(silent if reply.status is None else _refused(request, "handler_refused"))
        if reply.status is None:
            raise Unavailable(f"the old handler does not answer: {reply.error}")
        # A header that was folded would tear our own answer apart.
        content_type = reply.content_type if reply.content_type.isprintable() else ""
        return reply.status, reply.body, content_type or "text/plain"

    def reprocess(self, stored: Request, *, dry_run: bool) -> Verdict | None:
        """Take a stored request through the door again, past the handler where its source still has one.

        As `Intake.reprocess`; what the handler does not acknowledge stays
        refused as well.
        """
        source = self._sources.get(stored.source)
        if source is not None and not dry_run:
            self._intake.reprocess(stored, dry_run=True)
            reply = self._tell(source, stored)
            if reply.status is None:
                raise _objection("handler_silent")
            if not acknowledges(source, reply.status, reply.body):
                raise _objection("handler_refused")
        return self._intake.reprocess(stored, dry_run=dry_run)

    def _tell(self, source: Source, request: Request) -> Reply:
        told = forwarded(source, request.raw, method=request.method, address=request.address)
        if not self._places.acquire(timeout=PLACE_WITHIN_S):
            reply = Reply(status=None, error="busy", left=False)
        else:
            try:
                reply = self._handler.forward(told, deadline_s=HANDLER_S)
            finally:
                self._places.release()
        ids = {"source": source.name, "request_id": request.request_id}
        log.info("callback_forwarded", extra=ids | {"status": reply.status, "reason": reply.error})
        return reply

    def _keep(self, request: Request) -> None:
        """Store it as well as that can be done now: the handler's answer stands, whatever becomes of this."""
        try:
            self._intake.receive(request, wait_s=COMMIT_S)
        except CallbackRejected:
            # It is stored under its reason, which is for us to look at: the handler's word is the answer.
            return
        except Exception:
            log.exception("observation_not_kept", extra={"source": request.source, "request_id": request.request_id})


def _refused(request: Request, code: str) -> Request:
    return replace(request, refused=_objection(code))


def _objection(code: str) -> CallbackRejected:
    return CallbackRejected("the old handler did not acknowledge it", code=code, http_status=503)
