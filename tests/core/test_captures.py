"""Captures: a request out of whatever somebody saved."""

from __future__ import annotations

import json

import pytest

from relay.core.captures import read_capture
from relay.core.parsing import RawRequest
from relay.errors import Unprocessable

FORM = "application/x-www-form-urlencoded"
BODY = b"a=1&sign=2"
HTTP = b"POST /callbacks/x HTTP/1.1\r\nHost: relay.example\r\nContent-Type: " + FORM.encode() + b"\r\n"
HAR = {
    "log": {
        "entries": [
            {
                "request": {
                    "method": "POST",
                    "url": "https://relay.example/callbacks/x",
                    "headers": [{"name": "Content-Type", "value": FORM}],
                    "postData": {"text": BODY.decode()},
                }
            },
            {"request": {"method": "GET", "url": "https://relay.example/style.css", "headers": []}},
        ]
    }
}
CAPTURES = {
    "HTTP": (HTTP + b"\r\n" + BODY, RawRequest(BODY, FORM, "", {"Host": "relay.example", "Content-Type": FORM})),
    "HTTP with bare line ends": (
        b"POST / HTTP/1.1\nX-Sig: abc\n\n" + BODY + b"\n",
        RawRequest(BODY, "", "", {"X-Sig": "abc"}),
    ),
    "HTTP of a known length": (
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1\n\n",
        RawRequest(b"a=1", "", "", {"Content-Length": "3"}),
    ),
    "HTTP of no length that is a number": (
        b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\na=1\n",
        RawRequest(b"a=1", "", "", {"Content-Length": "\xb2"}),
    ),
    "HTTP of an endless length": (
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\na=1\n",
        RawRequest(b"a=1", "", "", {"Content-Length": "9" * 5_000}),
    ),
    "HTTP to half an address": (b"GET //[x?a=1#b HTTP/1.1\r\n\r\n", RawRequest(b"", "", "a=1", {})),
    "HTTP with a query": (b"GET /callbacks/x?a=1 HTTP/1.1\r\n\r\n", RawRequest(b"", "", "a=1", {})),
    "HAR": (json.dumps(HAR).encode(), RawRequest(BODY, FORM, "", {"Content-Type": FORM})),
    "a form": (BODY + b"\r\n", RawRequest(BODY, FORM, "", {})),
    "JSON": (b'{"a": 1}\n', RawRequest(b'{"a": 1}', "application/json", "", {})),
    "a query": (b"?a=1", RawRequest(b"", "", "a=1", {})),
    "an address": (b"https://relay.example/x?a=1\n", RawRequest(b"", "", "a=1", {})),
}


@pytest.mark.parametrize(("captured", "request_"), CAPTURES.values(), ids=CAPTURES)
def test_a_capture_becomes_the_request_that_was_sent(captured: bytes, request_: RawRequest) -> None:
    """The bytes that were signed, without what an editor added."""
    assert read_capture(captured) == request_


@pytest.mark.parametrize(
    "captured",
    [
        b"",
        b" \n",
        b"POST / HTTP/1.1\r\nno header here\r\n\r\na=1",
        b'{"log": {"entries": []}}',
        b'{"log": {"entries": [1]}}',
        b'{"log": {"entries": [{"request": {"url": "/?a=1"}}]}}',
    ],
)
def test_what_is_no_capture_is_refused_in_words(captured: bytes) -> None:
    """A clear error, no guess."""
    with pytest.raises(Unprocessable):
        read_capture(captured)
