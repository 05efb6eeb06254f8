"""Own the reading of a captured request: raw HTTP, a HAR file, or the bare body or query that somebody saved."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from relay.core.bodies import CONTENT_TYPES
from relay.core.json_text import is_too_deep
from relay.core.parsing import RawRequest
from relay.errors import Unprocessable

_REQUEST_LINE = re.compile(rb"[A-Z]{3,10} (\S+) HTTP/[0-9.]+\r?\n")
_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def read_capture(captured: bytes) -> RawRequest:
    """Return the request that was captured; Unprocessable when it is none.

    Of a HAR file the last request with a body or a query counts. A text that
    is neither HTTP nor HAR is taken for a body: JSON where it begins with
    {, else a form; where it begins with ?, or with an address, a query.
    """
    if not captured.strip():
        raise Unprocessable("nothing was captured")
    if _REQUEST_LINE.match(captured):
        return _http(captured)
    archive = _archive(captured)
    return _bare(captured) if archive is None else _har(archive)


def _http(captured: bytes) -> RawRequest:
    head, *rest = _BLANK_LINE.split(captured, maxsplit=1)
    first, *lines = head.replace(b"\r\n", b"\n").split(b"\n")
    headers = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise Unprocessable("a line of the head is no header; is the blank line before the body missing?")
        headers[name.strip()] = value.strip()
    body, length = (rest[0] if rest else b""), _header(headers, "content-length")
    # Editors end a file with a line end that was never sent.
    body = body[: int(length)] if _LENGTH.fullmatch(length) else _without_line_end(body)
    query = first.split()[1].decode("latin-1").partition("#")[0].partition("?")[2]
    return RawRequest(body, _header(headers, "content-type"), query, headers)


def _archive(captured: bytes) -> list[Any] | None:
    try:
        text = captured.decode()
        return None if is_too_deep(text) else list(json.loads(text)["log"]["entries"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _har(entries: list[Any]) -> RawRequest:
    try:
        for entry in reversed(entries):
            sent = entry["request"]
            body, query = sent.get("postData", {}).get("text", "").encode(), urlsplit(sent["url"]).query
            if body or query:
                headers = {str(one["name"]): str(one["value"]) for one in sent["headers"]}
                return RawRequest(body, _header(headers, "content-type"), query, headers)
    except (TypeError, KeyError, AttributeError, ValueError):
        raise Unprocessable("this is not an HTTP archive (HAR) as browsers and proxies save it") from None
    raise Unprocessable("no request of this archive has a body or a query")


def _bare(captured: bytes) -> RawRequest:
    text = _without_line_end(captured)
    if text.startswith((b"?", b"http://", b"https://")):
        return RawRequest(b"", "", text.partition(b"?")[2].decode("latin-1"), {})
    kind = "json" if text.lstrip().startswith(b"{") else "form"
    return RawRequest(text, CONTENT_TYPES[kind], "", {})


def _without_line_end(text: bytes) -> bytes:
    return text.removesuffix(b"\n").removesuffix(b"\r")


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")
