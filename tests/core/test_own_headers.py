"""A subscriber's own headers: what frames a message, and what is ours, stays as it is."""

from __future__ import annotations

import pytest

from relay.core.own_headers import LONGEST, MOST, check_headers
from relay.errors import Unprocessable


def test_names_are_kept_in_lower_case() -> None:
    """HTTP does not tell them apart; values stay as they were said."""
    assert check_headers({"Authorization": "Bearer A b", "X-Tenant": "7", "Cookie": "a=1; b=2"}) == {
        "authorization": "Bearer A b",
        "x-tenant": "7",
        "cookie": "a=1; b=2",
    }


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Content-Type",
        "User-Agent",
        "Webhook-Id",
        "webhook-signature",
        "Proxy-Authorization",
        "Expect",
        "",
        "x y",
        "x:y",
        "x\r\nhost",
        "ä",
        "x" * 101,
    ],
)
def test_a_name_that_may_not_be_set_is_refused(name: str) -> None:
    """By its own pointer."""
    with pytest.raises(Unprocessable) as caught:
        check_headers({"x-fine": "1", name: "1"})
    assert caught.value.pointer == f"/headers/{name}"


@pytest.mark.parametrize(
    "value", ["", " a", "a ", "a\r\nb: c", "a\nb", "a\0", "ä", "\ud800", "a\tb", "x" * (LONGEST + 1)]
)
def test_a_value_that_another_reader_could_split_is_refused(value: str) -> None:
    """Above all a line break."""
    with pytest.raises(Unprocessable):
        check_headers({"x-a": value})


def test_one_name_in_two_spellings_is_refused_and_so_are_too_many() -> None:
    """A slash in a pointer is escaped."""
    for wrong, pointer in (
        ({"X-A": "1", "x-a": "2"}, "/headers/x-a"),
        ({f"x-{n}": "1" for n in range(MOST + 1)}, "/headers"),
        ({"x/y~": "1"}, "/headers/x~1y~0"),
    ):
        with pytest.raises(Unprocessable) as caught:
            check_headers(wrong)
        assert caught.value.pointer == pointer
