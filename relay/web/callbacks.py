"""Own the route that providers call: read the bytes within their limit, hand them over, answer what the provider expects."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, request

from relay.core.parsing import RawRequest
from relay.errors import CallbackRejected, Unavailable
from relay.flows.intake import Request

if TYPE_CHECKING:
    from relay.bootstrap import Runtime

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024


def blueprint(runtime: Runtime) -> Blueprint:
    """Return the callback route; it lies outside the API's checks because its callers are not ours to teach."""
    routes = Blueprint("callbacks", __name__)

    @routes.post("/callbacks/<source>")
    def receive(source: str) -> Response:
        """Answer the source's own ack for an accepted or repeated callback, 4xx for a refused one, 503 for our failures."""
        try:
            found, _ = runtime.intake.receive(_request(source))
        except CallbackRejected as refused:
            return _text(refused.code, refused.http_status)
        return Response(found.ack.body, found.ack.status, content_type=found.ack.content_type)

    @routes.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        """Ask the provider to come again: whatever went wrong is ours, and a 4xx would end its retries."""
        if not isinstance(error, Unavailable):
            log.error("callback_failed", exc_info=error)
        return _text("try again", 503, {"Retry-After": str(Unavailable.retry_after_s)})

    return routes


def _request(source: str) -> Request:
    body, refused = _read_body(request.environ)
    return Request(
        source=source[:64],
        raw=RawRequest(
            body=body,
            content_type=request.environ.get("CONTENT_TYPE", ""),
            query=request.environ.get("QUERY_STRING", ""),
            headers={name.lower(): value for name, value in request.headers.items()},
        ),
        address=g.client_address,
        request_id=g.request_id,
        refused=refused,
    )


def _read_body(environ: dict[str, Any]) -> tuple[bytes, CallbackRejected | None]:
    """Read the body, or say why not.

    Flask cuts a chunked body at its limit and goes on with the rest of it
    missing; reading one byte more than the limit tells the two apart.
    """
    announced = environ.get("CONTENT_LENGTH")
    if announced:
        size = int(announced) if announced.isascii() and announced.isdigit() else MOST_BYTES + 1
        if size > MOST_BYTES:
            return b"", _too_large()
        body = environ["wsgi.input"].read(size)
        return body, None if len(body) == size else CallbackRejected("the body ended early")
    if not environ.get("wsgi.input_terminated"):
        return b"", None
    body = environ["wsgi.input"].read(MOST_BYTES + 1)
    return (b"", _too_large()) if len(body) > MOST_BYTES else (body, None)


def _too_large() -> CallbackRejected:
    return CallbackRejected("the body is larger than 64 KiB", code="too_large", http_status=413)


def _text(body: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, content_type="text/plain; charset=utf-8")
