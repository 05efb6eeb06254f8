"""Own what happens around every request: its id, the address it came from, and the headers of its answer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from relay.core.addresses import client_address
from relay.web.context import runtime

# What a platform's router hands us is taken over when it could not upset a log or a header.
# Heroku's passes on what has 20 to 200 characters, and makes an id of its own for anything else.
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{20,200}")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def surround(app: Flask, bind: Callable[..., None]) -> None:
    """Give every request an id and an address, and every answer its headers; `bind` tells the log the id."""

    @app.before_request
    def _begin() -> None:
        g.request_id = request_id(request.headers.get("X-Request-ID", ""))
        g.client_address = client_address(
            request.remote_addr or "",
            request.headers.getlist("X-Forwarded-For"),
            runtime().settings.trusted_proxy_hops,
        )
        bind(request_id=g.request_id)

    @app.after_request
    def _finish(response: Response) -> Response:
        # One look at the names and plain adds: setdefault searches the list six times, on the hot path too.
        said = {name for name, _ in response.headers}
        response.headers.add("X-Request-ID", g.request_id)
        for name, value in HEADERS.items():
            if name not in said:
                response.headers.add(name, value)
        return response


def request_id(given: str) -> str:
    """Return the id of a request: the router's when it looks like one, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def is_import(path: str) -> bool:
    """Tell whether a route reads its body line by line as it comes, so that nobody else may."""
    return path.endswith("/import")


def is_same_origin(*urls: str) -> bool:
    """Tell whether a form comes from a page of this host or of one of our URLs; browsers say so, a caller that does not is none.

    `Sec-Fetch-Site` (W3C Fetch Metadata) cannot be forged by a page; `Origin` is asked for as well, for browsers without it.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("Origin")
    # A scheme and a host, and nothing to be parsed: this header is whatever a stranger likes.
    return origin is not None and origin.partition("://")[2] in {request.host, *(urlsplit(url).netloc for url in urls)}
