"""Probing: which scheme made a signature, and why none did."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.adapters import parse_adapter
from relay.core.parsing import RawRequest
from relay.core.probing import MOST_TRACES, Report, probe
from relay.core.schemes import declared
from relay.core.signatures import Scheme, sign
from tests.core.examples import FIELDS, FORM, KEY, PRESETS, SENT_AT, URL, form, preset, request, sent, signed

EVERY = {name: parse_adapter(name, table) for name, table in PRESETS.items()}


def probed(raw: RawRequest, key: str = KEY) -> Report:
    """What is found with every preset at hand."""
    return probe(raw, key, EVERY, now=SENT_AT, url=URL)


def names(found: Report) -> list[str]:
    """The presets that fit, fields and all."""
    return [held.name for held in found.presets if not held.reason]


@pytest.mark.parametrize("name", EVERY)
def test_every_preset_is_found_by_its_own_callback(name: str) -> None:
    """Alone, or with those that this one request cannot tell from it."""
    alike = {"epusdt": {"bepusdt"}, "bepusdt": {"epusdt"}}
    alike |= {"nowpayments": {"nowpayments-listed"}, "nowpayments-listed": {"nowpayments"}}
    assert set(names(probed(sent(EVERY[name])))) == {name} | alike.get(name, set())


COMBINATIONS = {
    "pairs, secret in front": Scheme(name="sign", digest="sha256", place="prefix"),
    "pairs and &key=": Scheme(name="sign", digest="md5", place="suffix", place_text="&key=", encoding="hex-upper"),
    "values with bars": Scheme(name="token", digest="hmac-sha256", pair="v", joiner="|"),
    "base64": Scheme(name="sign", digest="hmac-sha512", encoding="base64"),
    "a header over the body": Scheme(name="X-Mac", digest="hmac-sha1", location="header", envelope="body"),
    "a labelled header": Scheme(
        name="X-Mac", digest="hmac-sha256", location="header", envelope="body", label="sha256="
    ),
    "a header over time and body": Scheme(
        name="X-Mac", digest="hmac-sha256", location="header", envelope="timestamp.body", timestamp="X-Time"
    ),
}


@pytest.mark.parametrize("scheme", COMBINATIONS.values(), ids=COMBINATIONS)
def test_a_scheme_of_no_preset_is_found_among_the_combinations(scheme: Scheme) -> None:
    """Exactly as it would be declared."""
    fields = {"zeta": "9", "order": "o-1", "money": "5", "nothing": ""}
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    headers = {"X-Time": "1662299838"} if scheme.timestamp else {}
    value = sign(scheme, KEY, fields, body=body.encode(), timestamp="1662299838")
    in_header = request(body.encode(), headers={**headers, scheme.name: value})
    raw = in_header if scheme.location == "header" else form({**fields, scheme.name: value})
    (match,) = probed(raw).matches
    assert match.scheme == scheme
    assert match.nearest


def test_what_one_request_cannot_tell_is_said() -> None:
    """Fields in the order of their names, none of them empty."""
    scheme = Scheme(name="sign", digest="md5", place="suffix")
    fields = {"amount": "5", "order": "o-1"}
    (match,) = probed(form({**fields, "sign": sign(scheme, KEY, fields)})).matches
    assert match.undecided == ("empty", "order")


def test_a_preset_that_signs_alike_but_reads_otherwise_is_told_with_its_reason() -> None:
    """The signature is V1's, the fields are not."""
    found = probed(form(signed(preset(), {**FIELDS, "shop": "7"})))
    assert [(held.name, held.reason) for held in found.presets] == [("crossingpay-v1", "'shop' is not known")]
    assert found.matches[0].nearest == "crossingpay-v1"


def test_the_nearest_preset_is_told_with_every_difference() -> None:
    """V1 with an ampersand between the pairs."""
    scheme = dataclasses.replace(preset().scheme, joiner="&")
    (match,) = probed(form({**FIELDS, "sign": sign(scheme, KEY, FIELDS)})).matches
    assert match.nearest == 'crossingpay-v1: joiner is "&", the preset\'s is ""'


GOOD = signed(preset(), FIELDS)
MD5_OF_VALUES = hashlib.md5(f"{'9o-15'}{KEY}".encode()).hexdigest()
MISSES = {
    "another key": (form(GOOD), "another", "the fields are those of crossingpay-v1"),
    "white space around the key": (form(GOOD), f" {KEY} ", "without the white space"),
    "a key in the wrong case": (form(GOOD), KEY.upper(), "in lower case"),
    "no signature": (form(FIELDS), KEY, "looks like a signature"),
    "digits in the wrong case": (
        form({**FIELDS, "sign": GOOD["sign"].lower()}),
        "x",
        "the fields are those of crossingpay-v1",
    ),
    "escaped values": (
        form({"url": "https://a/?b", "sign": hashlib.md5(f"url=https%3A%2F%2Fa%2F%3Fb{KEY}".encode()).hexdigest()}),
        KEY,
        "escaped in a form",
    ),
    "an order that nobody can check": (
        form({"z": "9", "o": "o-1", "m": "5", "sign": MD5_OF_VALUES}),
        KEY,
        'order "received", which is not taken',
    ),
    "a nested body": (
        request(b'{"a": {"b": 1}, "sign": "00000000000000000000000000000000"}', content_type="application/json"),
        KEY,
        "only signatures over all of it",
    ),
    "nothing at all": (RawRequest(b"", FORM, "", {}), KEY, "looks like a signature"),
}


@pytest.mark.parametrize(("raw", "key", "hint"), MISSES.values(), ids=MISSES)
def test_a_miss_says_what_would_have_matched(raw: RawRequest, key: str, hint: str) -> None:
    """Nothing is claimed to match, and the reader learns where to look."""
    found = probed(raw, key)
    assert (found.presets, found.matches) == ((), ())
    assert any(hint in one for one in found.hints), found.hints
    assert found.hints[-1].startswith(f"all {len(EVERY)} presets")


def test_a_request_full_of_signatures_is_not_tried_for_ever() -> None:
    """Whoever called sends as many as it likes; the one that is called so is among those that are tried."""
    scheme = Scheme(name="sign", digest="md5", place="suffix")
    fields = {f"f{number}": f"{number:064x}" for number in range(49)}
    found = probed(form({**fields, "sign": sign(scheme, KEY, fields)}))
    assert len(found.traces) == MOST_TRACES
    assert [match.scheme.name for match in found.matches] == ["sign"]


def test_only_keys_off_their_defaults_are_declared() -> None:
    """The shortest TOML that says it."""
    assert declared(preset("epay").scheme) == {
        "name": "sign",
        "digest": "md5",
        "empty": "drop",
        "fields": ["money", "name", "out_trade_no", "pid", "trade_no", "trade_status", "type"],
        "place": "suffix",
    }


@given(st.binary(max_size=200), st.binary(max_size=40), st.text(min_size=1, max_size=8))
def test_probing_never_fails(body: bytes, value: bytes, key: str) -> None:
    """Whatever was captured, the answer is a report."""
    headers = {"X-Sig": value.decode("latin-1"), "X-Time": "1662299838"}
    assert probed(RawRequest(body, FORM, "", headers), key).hints is not None
