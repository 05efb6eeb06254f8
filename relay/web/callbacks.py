"""Own the door that providers call: read the bytes within their limit, hand them over, answer what the provider expects.

It stands in front of Flask, not behind it: nothing of routing, sessions or
checks for people concerns a provider, and without them a callback costs a
web process a fifth less.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from relay.bootstrap import probe_keys
from relay.core.addresses import client_address
from relay.core.parsing import RawRequest
from relay.errors import CallbackRejected, Unavailable
from relay.flows.intake import Request
from relay.web.framing import Framed, NotFramed, is_in_chunks
from relay.web.probes import VARIABLE, Probes
from relay.web.requests import request_id

if TYPE_CHECKING:
    from relay.bootstrap import Runtime

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
# A handler's answer may bear a status that nobody has named.
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_PATH = re.compile(r"/callbacks/([^/]+)", re.DOTALL)

Environ = dict[str, Any]
Answer = tuple[int, bytes, str]
WSGI = Callable[[Environ, Any], Iterable[bytes]]


class Door:
    """A WSGI application that answers `/callbacks/<source>` and leaves every other path to the one behind it."""

    def __init__(self, behind: WSGI, runtime: Runtime) -> None:
        self._behind = behind
        self._intake = runtime.intake
        self._forwarder = runtime.forwarder
        self._hops = runtime.settings.trusted_proxy_hops
        self._known = runtime.sources.keys()
        self._probes = Probes(probe_keys(runtime.settings), self._hops)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if is_in_chunks(environ):
            environ["wsgi.input"] = Framed(environ["wsgi.input"])
        found = _PATH.fullmatch(environ["PATH_INFO"])
        if found is None:
            return self._behind(environ, start_response)
        named = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        status, payload, content_type = self._answer(environ, found[1], named)
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(payload))),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-ID", named),
        ]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append(("Retry-After", str(Unavailable.retry_after_s)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "POST"))
        start_response(f"{status} {_PHRASES.get(status, '')}", headers)
        # A body after the head that HEAD asked for would be taken for the next answer of the connection.
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [payload]

    def _answer(self, environ: Environ, name: str, named: str) -> Answer:
        """The source's own ack for an accepted or repeated callback, 4xx for a refused one, 503 for our failures.

        Of a source with an old handler behind it, whatever the handler says.
        """
        if VARIABLE in environ:
            return self._probes.answer(environ, name, is_known=name in self._known)
        if environ["REQUEST_METHOD"] != "POST" and not self._is_query(environ, name):
            return _text("method_not_allowed", 405)
        try:
            request = self._request(environ, name, named)
            if name in self._forwarder.names:
                return self._forwarder.receive(request)
            found, _ = self._intake.receive(request)
        except CallbackRejected as refused:
            return _text(refused.code, refused.http_status)
        except Unavailable:
            return _text("try again", 503)
        except Exception:
            # Whatever went wrong is ours, and a 4xx would end the provider's retries.
            log.exception("callback_failed", extra={"request_id": named})
            return _text("try again", 503)
        return found.ack.status, found.ack.body.encode(), found.ack.content_type

    def _is_query(self, environ: Environ, name: str) -> bool:
        """Some providers call with a GET that has everything in its query."""
        return bool(environ["REQUEST_METHOD"] == "GET") and self._intake.takes_query(name)

    def _request(self, environ: Environ, name: str, named: str) -> Request:
        body, refused = _read_body(environ)
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        return Request(
            # WSGI hands paths over as the bytes they were, each a character.
            source=name.encode("latin-1").decode(errors="replace")[:64],
            raw=RawRequest(
                body=body,
                content_type=environ.get("CONTENT_TYPE", ""),
                query=environ.get("QUERY_STRING", ""),
                headers={
                    key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key[:5] == "HTTP_"
                },
            ),
            address=client_address(environ.get("REMOTE_ADDR") or "", [forwarded] if forwarded else [], self._hops),
            request_id=named,
            method=environ["REQUEST_METHOD"],
            refused=refused,
        )


def _read_body(environ: Environ) -> tuple[bytes, CallbackRejected | None]:
    """Read the body, or say why not.

    Frameworks cut a chunked body at their limit and go on with the rest of
    it missing; reading one byte more than the limit tells the two apart.
    """
    announced = environ.get("CONTENT_LENGTH")
    if announced:
        size = int(announced) if announced.isascii() and announced.isdigit() else MOST_BYTES + 1
        if size > MOST_BYTES:
            return b"", _too_large()
        body = environ["wsgi.input"].read(size)
        return body, None if len(body) == size else CallbackRejected("the body ended early")
    # Where the server does not end the input, reading on would wait until the provider hangs up.
    if not is_in_chunks(environ):
        return b"", None
    try:
        body = environ["wsgi.input"].read(MOST_BYTES + 1)
    except NotFramed as error:
        return b"", CallbackRejected(str(error))
    return (b"", _too_large()) if len(body) > MOST_BYTES else (body, None)


def _too_large() -> CallbackRejected:
    return CallbackRejected("the body is larger than 64 KiB", code="too_large", http_status=413)


def _text(body: str, status: int) -> Answer:
    return status, body.encode(), "text/plain; charset=utf-8"
