"""The hint of a refused request: signed as what, by whose secret, or by its fields alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from relay.core.adapters import parse_adapter
from relay.core.likeness import Likeness, likeness
from relay.core.parsing import RawRequest
from relay.core.signatures import Secret
from tests.core.examples import FORM, KEY, PRESETS, SENT_AT, URL, sent

EVERY = {name: parse_adapter(name, table) for name, table in PRESETS.items()}
OURS = {"crossing": (Secret.of("another" * 6), Secret.of(KEY))}


def alike(request: RawRequest, secrets: Mapping[str, Sequence[Secret]] = OURS) -> Likeness | None:
    """What a request is like, with every preset at hand."""
    return likeness(request, secrets, EVERY, now=SENT_AT, url=URL)


@pytest.mark.parametrize("name", ["crossingpay-v1", "epusdt", "nowpayments"])
def test_a_signature_that_holds_names_its_preset(name: str) -> None:
    """And whose secret made it; no secret is told."""
    found = alike(sent(EVERY[name]))
    assert found is not None
    assert (found.source, found.reason) == ("crossing", "")
    assert EVERY[found.preset].scheme.digest == EVERY[name].scheme.digest
    assert KEY not in repr(found)


def test_without_the_secret_the_fields_tell() -> None:
    """What the preset needs and what it does not know are named."""
    found = alike(sent(EVERY["crossingpay-v1"]), {})
    assert found is not None
    assert (EVERY[found.preset].patterns.keys(), found.source) == (EVERY["crossingpay-v1"].patterns.keys(), "")
    odd = RawRequest(b"orderid=1&amount=1&localusermark=1&appid=a&sign=x&extra=1", FORM, "", {})
    named = alike(odd)
    assert named is not None
    assert (named.lacking, named.strange) == (("t",), ("extra",))


@pytest.mark.parametrize("body", [b"", b"\xff\0", b"<xml/>", b"a=1", b'{"a": [1]}'])
def test_what_is_like_nothing_has_no_hint(body: bytes) -> None:
    """Rather none than a wrong one."""
    assert alike(RawRequest(body, FORM, "", {})) is None
