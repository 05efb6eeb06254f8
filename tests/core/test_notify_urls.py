"""Which URL an order may name for its events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.notify_urls import check_notify_url, check_prefix, covers
from relay.errors import Unprocessable

PREFIX = "https://shop.example/hooks/pay"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://shop.example/hooks/pay", "https://shop.example/hooks/pay"),
        ("https://shop.example/hooks/pay/", "https://shop.example/hooks/pay/"),
        ("https://shop.example/hooks/pay/1/2?x=%2F", "https://shop.example/hooks/pay/1/2?x=%2F"),
        ("https://shop.example/hooks/pay?order=1", "https://shop.example/hooks/pay?order=1"),
        ("HTTPS://SHOP.EXAMPLE:443/hooks/pay/a%20b", "https://shop.example/hooks/pay/a%20b"),
        ("https://shop.example./hooks/pay", "https://shop.example/hooks/pay"),
    ],
)
def test_a_url_under_the_prefix_is_accepted(url: str, canonical: str) -> None:
    """However scheme, host and port are spelled."""
    assert check_notify_url(url, [PREFIX], allow=()) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks/payment",
        "https://shop.example/hooks",
        "https://shop.example/Hooks/pay/1",
        "https://shop.example:8443/hooks/pay/1",
        "https://evil.example/hooks/pay/1",
        "https://shop.example.evil.example/hooks/pay/1",
        "https://shop.example@evil.example/hooks/pay/1",
        "https://user@shop.example/hooks/pay/1",
        "http://shop.example/hooks/pay/1",
        "https://shop.example/hooks/pay/../admin",
        "https://shop.example/hooks/pay/%2e%2E/admin",
        "https://shop.example/hooks/pay/.%2e/admin",
        "https://shop.example/hooks/pay/./1",
        "https://shop.example/hooks/pay/..%2fadmin",
        "https://shop.example/hooks/pay/..%5Cadmin",
        "https://shop.example\\hooks\\pay",
        "https://shop.example/hooks/pay/1#there",
        "https://shop.example//hooks/pay",
        "https://10.0.0.1/hooks/pay",
        "//shop.example/hooks/pay",
        "",
    ],
)
def test_a_url_beside_the_prefix_is_refused(url: str) -> None:
    """What one reader could take for another place is another place."""
    with pytest.raises(Unprocessable):
        check_notify_url(url, [PREFIX], allow=())


def test_without_a_prefix_nothing_is_accepted() -> None:
    """An order cannot choose where our signature goes."""
    with pytest.raises(Unprocessable, match="per_order"):
        check_notify_url(PREFIX, [], allow=())


@pytest.mark.parametrize("prefix", [f"{PREFIX}?tenant=1", f"{PREFIX}/..", "http://shop.example/", "shop.example"])
def test_a_prefix_is_a_plain_url(prefix: str) -> None:
    """Without a query, which would end the path before an order's own part of it."""
    with pytest.raises(Unprocessable):
        check_prefix(prefix, allow=())


@given(st.text(alphabet="ab/?", max_size=6), st.text(alphabet="ab/?", max_size=8))
def test_a_prefix_covers_by_whole_segments(prefix: str, url: str) -> None:
    """Segment by segment, the query counted as one more."""
    prefix = prefix.replace("?", "")
    path, _, _ = url.partition("?")
    segments, parts = prefix.rstrip("/").split("/"), path.split("/")
    if not prefix.endswith("/") and not prefix.endswith("//"):
        assert covers(prefix, url) == (parts[: len(segments)] == segments)
