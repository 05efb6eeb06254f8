"""Own the header `Idempotency-Key`: what it makes of a POST to the API, and how its answer is stored."""

from __future__ import annotations

import json
import logging
import re
from hashlib import sha256

from flask import Flask, Response, g, request

from relay.bootstrap import now
from relay.errors import RelayError, Unprocessable
from relay.flows import idempotency as flow
from relay.flows.idempotency import Repeatable
from relay.web.context import actor, runtime
from relay.web.requests import is_import

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
# A structured field's string bears quotes, and many senders leave them out; either way this is what lies between.
_KEY = re.compile(r'"?([\x20-\x21\x23-\x7e]{1,255})"?')
_KEPT_HEADERS = ("Content-Type", "Location")


def answer_once(app: Flask) -> None:
    """Answer a POST that bears the header once; registered behind the guard, which knows whose key it is."""

    @app.before_request
    def _begin() -> Response | None:
        # A path that leads to no route has passed no guard: nobody's key is known, and nothing will be done.
        if HEADER not in request.headers or "actor" not in g or not takes_key(request.method, request.path):
            return None
        asked = Repeatable(actor().id, _key_of(request.headers[HEADER]), _fingerprint(), now())
        stored = flow.begin(runtime().engine, asked)
        if stored is not None:
            return _restored(runtime().vault.decrypt(stored))
        g.repeatable = asked
        return None

    @app.after_request
    def _finish(response: Response) -> Response:
        asked: Repeatable | None = g.pop("repeatable", None)
        if asked is not None:
            # Answers that are no success have changed nothing, and their senders may mend the request.
            answer = runtime().vault.encrypt(_stored(response)) if response.status_code < 300 else None
            # The answer stands: an error in its place would have its sender do again what is done.
            try:
                flow.finish(runtime().engine, asked, answer)
            except RelayError:
                log.warning("answer_not_kept", extra={"request_id": g.request_id})
        return response


def takes_key(method: str, path: str) -> bool:
    """Tell whether an operation looks at the header; imports are streams, and repeating one changes nothing anyway."""
    return method == "POST" and path.startswith("/v1/") and not is_import(path)


def _key_of(given: str) -> str:
    found = _KEY.fullmatch(given)
    if found is None:
        raise Unprocessable("an Idempotency-Key has 1 to 255 printable characters of ASCII, and no quotes within")
    return found.group(1)


def _fingerprint() -> str:
    head = f"{request.method} {request.full_path} {request.mimetype}\n".encode("utf-8", "surrogateescape")
    return sha256(head + request.get_data()).hexdigest()


def _stored(response: Response) -> str:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return json.dumps({"status": response.status_code, "headers": headers, "body": response.get_data(as_text=True)})


def _restored(stored: str) -> Response:
    answer = json.loads(stored)
    return Response(answer["body"], answer["status"], {**answer["headers"], REPLAYED: "true"})
