"""Spellings of JSON and of numbers: what Node, PHP and Go would have written, and the digests that providers make of it."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.canonical import SPELLINGS, go_number, js_number, listed_json, php_json_base64, sorted_json
from relay.core.json_text import MAX_DEPTH, read_members
from relay.core.signatures import Scheme, parts_of, sign
from relay.errors import CallbackRejected

KEY = "relay-test-secret"
IN_HEADER = Scheme(name="X-Sig", digest="hmac-sha512", location="header")
PAYMENT = (
    b'{ "payment_id": 5077125051, "payment_status": "finished", "pay_amount": 10.50, "order_id": "O1",'
    b' "fee": { "withdrawalFee": 0, "currency": "usdttrc20", "depositFee": 0.1 } }'
)
INVOICE = (
    rb'{"type":"payment","uuid":"62f88b36-a9d5-4fa6-aa26-e040c3dbf26d","order_id":"O1","amount":"3.00","txid":"ab",'
    rb'"network":"tron","additional_data":"a\/b","sign":"0"}'
)
DEEP = "c5677d2dbedb83db1b291cf74dad7c3824347870c6c34f8d0e9ad6c926baccc4f249b77b51554ff59aafcb61efec2b5e9288081f71d81ff0b6af3e1d9699101a"
LISTED = "f380430d775c08056c54165dff7ecf5bfbabe603c678fa7dcaa7d37a36a1a487ab4499c75bb7310d41850816f7d0b7365d1a6ae691d1548d8783ea5c1dc5ca74"
CRYPTOMUS = Scheme(name="sign", digest="md5", envelope="php-json-base64", place="suffix")


@pytest.mark.parametrize(("spelling", "digest"), [("sorted-json", DEEP), ("listed-json", LISTED)])
def test_nowpayments_two_spellings_give_the_known_digests(spelling: str, digest: str) -> None:
    """Whatever the order and the spaces in which the members came."""
    assert sign(dataclasses.replace(IN_HEADER, envelope=spelling), KEY, {}, body=PAYMENT) == digest


def test_cryptomus_spelling_gives_the_known_digest() -> None:
    """With the slash escaped as PHP does, however it came; the spelling with a plain slash is not believed."""
    assert sign(CRYPTOMUS, KEY, {}, body=INVOICE) == "9035fd4e5b923f0ef6a1eee29e76e614"
    assert sign(CRYPTOMUS, KEY, {}, body=INVOICE.replace(rb"\/", b"/")) == "9035fd4e5b923f0ef6a1eee29e76e614"
    assert sign(CRYPTOMUS, KEY, {}, body=INVOICE) != "b38d4f13d3ca436b461cbd371ef2342f"


def test_coinpayments_text_gives_the_known_digest() -> None:
    """A byte order mark, the method, our address, two headers and the body, nothing between them."""
    text = "\ufeff{method}{url}{header:X-Client}{timestamp}{body}"
    scheme = Scheme(
        name="X-Sig",
        digest="hmac-sha256",
        location="header",
        envelope="text",
        text=text,
        timestamp="X-Time",
        encoding="base64",
    )
    filled = {"method": "POST", "url": "https://relay.example/webhooks/cp", "header:X-Client": "client1"}
    found = sign(scheme, KEY, {}, body=b'{"id":"1"}', timestamp="2025-03-01T02:30:00", fill=filled.__getitem__)
    assert found == "60ekPVfUy1yo8E7sDqoc9cRDpv+dG8BMOiscvJb2wb8="


def test_hook0_text_gives_the_known_digest() -> None:
    """Parts of the signature's own header, and the headers that one of them names."""
    header = "t=1728394718,h=content-type x-event-id x-event-type,v1=0"
    values = {"headers:h": "application/json.evt-1.checkout.payment.success"}
    values |= {f"part:{name}": value for name, value in parts_of(header).items()}
    scheme = dataclasses.replace(
        IN_HEADER, digest="hmac-sha256", envelope="text", text="{part:t}.{part:h}.{headers:h}.{body}", part="v1"
    )
    found = sign(scheme, KEY, {}, body=b'{"id":"1"}', fill=values.__getitem__)
    assert found == "07218e5cd7905956db4085d291f4edd552113d3c8736339b397c70317aeffb9b"
    assert scheme.headers(header) == {"x-sig", "content-type", "x-event-id", "x-event-type"}


def test_a_part_that_is_there_twice_is_none() -> None:
    """Readers differ on which one counts."""
    assert parts_of("v1=a, v1=b,t=1") == {"t": "1"}


def test_half_a_million_parts_are_read_at_once() -> None:
    """So many come where a header is repeated; each was held against all others."""
    assert parts_of("," * 500_000 + "v1=a") == {"v1": "a"}


NUMBERS = {
    "100": ("100", "100"),
    "100.0": ("100", "100"),
    "14.2857": ("14.2857", "14.2857"),
    "1e2": ("100", "100"),
    "0.1": ("0.1", "0.1"),
    "0.10": ("0.1", "0.1"),
    "1e-7": ("0.0000001", "1e-7"),
    "1.5e-10": ("0.00000000015", "1.5e-10"),
    "0.000001": ("0.000001", "0.000001"),
    "123456789012345680000": ("123456789012345680000", "123456789012345680000"),
    "1e21": ("1000000000000000000000", "1e+21"),
    "9007199254740993": ("9007199254740992", "9007199254740992"),
    "0": ("0", "0"),
    "-0.5": ("-0.5", "-0.5"),
    "1e400": ("1e400", "null"),
}


@pytest.mark.parametrize(("token", "spelled"), NUMBERS.items())
def test_numbers_are_spelled_as_go_and_javascript_do(token: str, spelled: tuple[str, str]) -> None:
    """Both read a double first, and forget how it was written."""
    assert (go_number(token), js_number(token)) == spelled


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_spelled_number_is_the_same_number(value: float) -> None:
    """Nothing is lost on the way, and JSON reads it again."""
    for spell in (go_number, js_number):
        assert float(spell(repr(value))) == value
        assert isinstance(json.loads(spell(repr(value))), int | float)


def test_a_number_of_sixty_thousand_digits_is_spelled_at_once() -> None:
    """A double has no such number; its text stays."""
    assert go_number("9" * 60_000) == "9" * 60_000


def test_texts_are_written_as_each_language_does() -> None:
    """Node leaves Unicode and slashes alone; PHP escapes slashes and the two line ends that JavaScript once broke at."""
    body = b'{"b":"\\u00e9/\\u2028\\n\\"","a":[true,null,{"d":1,"c":2}]}'
    assert sorted_json(body, "").decode() == '{"a":[true,null,{"c":2,"d":1}],"b":"é/\u2028\\n\\""}'
    assert base64.b64decode(php_json_base64(body, "")).decode().startswith('{"b":"é\\/\\u2028\\n\\""')


def test_the_list_of_outermost_names_filters_the_inner_objects() -> None:
    """A name that is there outside stays inside too."""
    assert listed_json(b'{"b":{"a":1,"c":2},"a":[{"c":3,"b":4}]}', "") == b'{"a":[{"b":4}],"b":{"a":1}}'


def test_many_outermost_names_and_many_objects_are_spelled_at_once() -> None:
    """Whoever signs nothing may send them: names times objects were a billion looks."""
    names = [f"{number:x}" for number in range(30_000)]
    body = {**dict.fromkeys(names, 0), "z": [{"1": 0, "y": 0}] * 30_000}
    told = json.loads(listed_json(json.dumps(body).encode(), ""))
    assert told["z"] == [{"1": 0}] * 30_000
    assert list(told) == sorted(body)


def test_what_is_too_deep_is_refused_not_crashed_over() -> None:
    """The decoder allows a thousand levels; nobody needs them."""
    for depth in (MAX_DEPTH + 1, 900, 100_000):
        with pytest.raises(CallbackRejected):
            read_members(b'{"a":' * depth + b"1" + b"}" * depth)


def test_deep_texts_do_not_reach_the_decoder_whose_limit_was_raised() -> None:
    """A library that raises the recursion limit makes Python's own stop a crash of the process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        for text in ("[" * 1_000_000, '{"a":' * 200_000, '{"]]]]": ' * 200_000):
            with pytest.raises(CallbackRejected):
                read_members(text.encode())
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_that_are_not_nested_are_no_depth() -> None:
    """A long list of payments, and brackets inside texts."""
    many = [{"id": "[{" * 10, "escaped": '"['} for _ in range(1000)]
    assert len(json.dumps(read_members(json.dumps({"all": many}).encode()))) > 1000


ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=[]))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(st.characters(exclude_categories=[])), inner)),
)


@given(st.one_of(st.binary(), ANY_JSON.map(lambda value: json.dumps(value).encode())), st.sampled_from([*SPELLINGS]))
def test_any_bytes_are_spelled_or_refused(body: bytes, spelling: str) -> None:
    """Nothing else is raised, whatever the bytes."""
    try:
        assert isinstance(SPELLINGS[spelling](body, "sign"), bytes)
    except CallbackRejected:
        return
