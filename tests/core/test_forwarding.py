"""What an old handler is handed, and what of its answers counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.adapters import Ack
from relay.core.forwarding import acknowledges, forwarded
from tests.core.examples import request, source

HANDLER = replace(source(), upstream_handler="https://shop.example/pay/")
BODY = b"orderid=a&sign=%41"


def test_the_bytes_and_what_describes_them_go_along() -> None:
    """Body and content type as they came, and whatever header may be signed or sign."""
    raw = request(BODY, headers={"x-signature": "t=1,v1=ab", "user-agent": "provider/1", "content-encoding": "x"})
    told = forwarded(HANDLER, raw, method="POST", address="203.0.113.7")
    assert (told.method, told.url, told.body) == ("POST", "https://shop.example/pay/", BODY)
    assert told.headers == {
        "x-signature": "t=1,v1=ab",
        "user-agent": "provider/1",
        "content-encoding": "x",
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Forwarded-For": "203.0.113.7",
        "X-Real-IP": "203.0.113.7",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("X-Forwarded-For", "x-forwarded-host", "forwarded", "x-real-ip", "True-Client-IP", "cf-connecting-ip"),
        *("connection", "transfer-encoding", "host", "content-length", "content-type", "accept-encoding", "expect"),
    ],
)
def test_nobody_claims_an_address_or_breaks_the_connection(name: str) -> None:
    """Where the caller's address is not known, none is told: not the one it claims."""
    raw = request(BODY, content_type="", headers={name: "10.0.0.1"})
    assert forwarded(HANDLER, raw, method="POST", address="").headers == {}


@pytest.mark.parametrize(
    ("handler", "url"),
    [
        ("https://shop.example/pay", "https://shop.example/pay?a=1&b=%20"),
        ("https://shop.example/index.php?route=pay", "https://shop.example/index.php?route=pay&a=1&b=%20"),
    ],
)
def test_a_query_is_added_to_the_handlers_own(handler: str, url: str) -> None:
    """Providers that call by GET say everything there."""
    told = forwarded(
        replace(HANDLER, upstream_handler=handler), request(b"", query="a=1&b=%20"), method="GET", address=""
    )
    assert (told.method, told.url) == ("GET", url)


def test_an_acknowledgement_is_what_the_provider_takes_for_one() -> None:
    """Status and body; the source's own `ack` counts before the adapter's."""
    assert acknowledges(HANDLER, 200, b"success\n")
    assert not acknowledges(HANDLER, 200, b"fail")
    assert not acknowledges(HANDLER, 500, b"success")
    assert acknowledges(replace(HANDLER, ack=Ack(202, "ok")), 202, b"ok")
