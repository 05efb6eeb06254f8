"""The door: what a good callback becomes, and the reason each bad one is given."""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.core.adapters import Adapter, parse_adapter
from relay.core.callbacks import Callback, Status
from relay.core.parsing import RawRequest, read_callback
from relay.core.signatures import Secret, sign
from relay.core.sources import Source
from relay.errors import CallbackRejected
from tests.core.examples import (
    APPID,
    FIELDS,
    FORM,
    GUIDES,
    HOUSE,
    HOUSE_FIELDS,
    KEY,
    SENT_AT,
    form,
    preset,
    request,
    signed,
    source,
)

V1, HMAC = preset("crossingpay-v1"), preset("crossingpay-hmac")
HOUSE_ADAPTER = parse_adapter("house", HOUSE)
HOUSE_SOURCE = source(HOUSE_ADAPTER, appid=None)
RAW = parse_adapter(
    "raw",
    {
        **HOUSE,
        "signature": {
            "name": "X-Sig",
            "location": "header",
            "envelope": "timestamp.body",
            "timestamp": "X-Time",
            "digest": "hmac-sha256",
        },
    },
)
LISTING = parse_adapter(
    "listing",
    {
        **HOUSE,
        "signature": {
            "name": "X-Sig",
            "location": "header",
            "envelope": "text",
            "text": "{headers:h}.{body}",
            "part": "v1",
            "digest": "hmac-sha256",
        },
    },
)


def refusal(raw: RawRequest, of: Source | None = None) -> CallbackRejected:
    """The error that a request is refused with."""
    with pytest.raises(CallbackRejected) as refused:
        read_callback(of or source(), raw, now=SENT_AT)
    return refused.value


def as_json(text: str) -> RawRequest:
    """A JSON request of this text."""
    return request(text.encode(), content_type="application/json")


def test_the_guides_callback_becomes_ours() -> None:
    """Every field under our name, the amount in micros and as it came."""
    assert read_callback(source(), form(signed(V1, FIELDS)), now=SENT_AT) == Callback(
        source="crossing",
        namespace="crossing",
        orderid="sh-56073d0000008a2ff5521a",
        status=Status.SUCCEEDED,
        amount_micros=3_000_000,
        amount_raw="30000",
        unit_micros=100,
        appid=APPID,
        user_ref="1",
        occurred_at=SENT_AT,
        signature="704117F4A13B6B938D0445F03CCC99A0FD8411FF",
        secret_id=Secret.of(KEY).id,
    )


def test_a_json_callback_is_read_with_its_numbers_as_text() -> None:
    """Status by the map, decimal amount, and a number equals its text."""
    body = json.dumps(signed(HOUSE_ADAPTER, HOUSE_FIELDS)).replace('"100.29"', "100.29").replace('"1"', "1")
    callback = read_callback(HOUSE_SOURCE, as_json(body), now=SENT_AT)
    assert (callback.amount_micros, callback.unit_micros, callback.amount_raw) == (100_290_000, 1, "100.29")
    assert (callback.status, callback.tx_hash, callback.appid, callback.user_ref) == (
        Status.SUCCEEDED,
        "a1" * 32,
        None,
        None,
    )


def test_a_raw_body_is_verified_before_it_is_read() -> None:
    """The bytes are signed together with a header; bytes that are no JSON fail by their signature."""
    body = json.dumps(HOUSE_FIELDS).encode()
    headers = {"x-time": "17", "X-SIG": sign(RAW.scheme, KEY, {}, body=body, timestamp="17")}
    good = request(body, content_type="application/json; charset=utf-8", headers=headers)
    assert read_callback(source(RAW, appid=None), good, now=SENT_AT).signature == headers["X-SIG"]
    assert refusal(dataclasses.replace(good, body=b"{"), source(RAW, appid=None)).code == "bad_signature"
    assert (
        refusal(dataclasses.replace(good, headers={**headers, "x-time": "18"}), source(RAW, appid=None)).code
        == "bad_signature"
    )


def test_a_signature_that_does_not_cover_all_fields_is_not_kept() -> None:
    """It may rightly come again with other fields."""
    adapter = parse_adapter(
        "house", {**HOUSE, "signature": {**HOUSE["signature"], "fields": ["order", "Amount", "Status"]}}
    )
    body = json.dumps(signed(adapter, HOUSE_FIELDS))
    assert read_callback(source(adapter, appid=None), as_json(body), now=SENT_AT).signature is None


@pytest.mark.parametrize(
    ("apart_s", "flags"), [(0, set()), (600, set()), (601, {"clock"}), (-601, {"clock"}), (10**8, {"clock"})]
)
def test_an_odd_clock_is_flagged_not_refused(apart_s: int, flags: set[str]) -> None:
    """Providers re-send by hand after days; what to make of it is for the rules of states."""
    assert read_callback(source(), form(signed(V1, FIELDS)), now=SENT_AT + timedelta(seconds=apart_s)).flags == flags


@pytest.mark.parametrize("position", [0, 1])
def test_the_secret_that_verified_is_named(position: int) -> None:
    """A callback tells whether the old secret is still in use."""
    keys = ("new-secret", "old-secret")
    callback = read_callback(source(keys=keys), form(signed(V1, FIELDS, key=keys[position])), now=SENT_AT)
    assert callback.secret_id == Secret.of(keys[position]).id


GOOD = signed(V1, FIELDS)
SENT = form(GOOD).body
UNSIGNED_CASES = {
    "no signature": (form(FIELDS), "bad_signature", 401),
    "empty signature": (form({**FIELDS, "sign": ""}), "bad_signature", 401),
    "lower-case signature": (form({**FIELDS, "sign": GOOD["sign"].lower()}), "bad_signature", 401),
    "full-width signature": (form({**FIELDS, "sign": "\uff17" * 40}), "bad_signature", 401),
    "another secret's": (form(signed(V1, FIELDS, key="another")), "bad_signature", 401),
    "a changed amount": (form({**GOOD, "amount": "30001"}), "bad_signature", 401),
    "a renamed field": (request(SENT.replace(b"localusermark", b"localusermarks")), "bad_signature", 401),
    "an added field": (request(SENT + b"&x=1"), "bad_signature", 401),
    "a signature list": (request(SENT.replace(b"sign=", b"sign[]=")), "malformed", 400),
    "a signature twice": (request(SENT + b"&sign=" + GOOD["sign"].encode()), "duplicate_field", 400),
    "a field twice, equal": (request(SENT + b"&amount=30000"), "duplicate_field", 400),
    "a field twice, escaped": (request(b"%61mount=1&" + SENT), "duplicate_field", 400),
    "nothing": (request(b""), "malformed", 400),
    "a name without value": (request(SENT + b"&x"), "malformed", 400),
    "a value without name": (request(SENT + b"&=x"), "malformed", 400),
    "a trailing joiner": (request(SENT + b"&"), "malformed", 400),
    "a semicolon": (request(SENT.replace(b"&", b";", 1)), "malformed", 400),
    "NUL": (request(SENT + b"&x=\0"), "malformed", 400),
    "escaped NUL": (request(SENT + b"&x=%00"), "malformed", 400),
    "half an escape": (request(SENT + b"&x=%4"), "malformed", 400),
    "an escape of no digits": (request(SENT + b"&x=%zz"), "malformed", 400),
    "bytes that are not UTF-8": (request(SENT + b"&x=\xff"), "malformed", 400),
    "escapes that are not UTF-8": (request(SENT + b"&x=%ff"), "malformed", 400),
    "51 fields": (request("&".join(f"f{number}=1" for number in range(51)).encode()), "malformed", 400),
    "a query": (dataclasses.replace(form(GOOD), query="amount=1"), "malformed", 400),
    "JSON for a form": (
        dataclasses.replace(form(GOOD), content_type="application/json"),
        "unsupported_media_type",
        415,
    ),
    "no content type": (dataclasses.replace(form(GOOD), content_type=""), "unsupported_media_type", 415),
    "multipart": (
        dataclasses.replace(form(GOOD), content_type="multipart/form-data; boundary=x"),
        "unsupported_media_type",
        415,
    ),
    "another charset": (
        dataclasses.replace(form(GOOD), content_type=f"{FORM}; charset=utf-16"),
        "unsupported_media_type",
        415,
    ),
    "a packed body": (
        dataclasses.replace(form(GOOD), headers={"CONTENT-encoding": "gzip"}),
        "unsupported_media_type",
        415,
    ),
}


@pytest.mark.parametrize(("raw", "code", "status"), UNSIGNED_CASES.values(), ids=UNSIGNED_CASES)
def test_what_cannot_be_verified_is_refused_with_a_reason(raw: RawRequest, code: str, status: int) -> None:
    """Before the signature holds, only the shape of the request is judged."""
    refused = refusal(raw)
    assert (refused.code, refused.http_status) == (code, status)


SIGNED_CASES = {
    "a missing field": ({"localusermark": None}, "missing_field", "localusermark"),
    "an empty field": ({"localusermark": ""}, "missing_field", "localusermark"),
    "an unknown field": ({"tx": "1"}, "unknown_field", "tx"),
    "another account": ({"appid": "Other"}, "wrong_appid", "appid"),
    "a clock in milliseconds": ({"t": "1662299838000"}, "bad_field", "t"),
    "a time with a sign": ({"t": "+166229983"}, "bad_field", "t"),
    "a time that leads with zero": ({"t": "0662299838"}, "bad_field", "t"),
    "an order that is too long": ({"orderid": "x" * 51}, "bad_field", "orderid"),
    "an order with a space": ({"orderid": "a b"}, "bad_field", "orderid"),
    "an order with a line break": ({"orderid": "ab\n"}, "bad_field", "orderid"),
    "an order in Cyrillic": ({"orderid": "\u043erder"}, "bad_field", "orderid"),
    "a user of 10,000 letters": ({"localusermark": "x" * 10_000}, "bad_field", "localusermark"),
    **{
        f"amount {amount[:12]!a}": ({"amount": amount}, "bad_field", "amount")
        for amount in [
            "0",
            "007",
            "-1",
            "+1",
            "1_000",
            "1,000",
            "3.0",
            "1e4",
            "1e200000",
            "NaN",
            " 1",
            "1 ",
            "\uff13\uff10",
            "\u0661",
            "9" * 16,
            "9" * 200,
        ]
    },
}


@pytest.mark.parametrize(("change", "code", "field"), SIGNED_CASES.values(), ids=SIGNED_CASES)
@pytest.mark.parametrize("name", GUIDES)
def test_signed_fields_are_still_read_strictly(name: str, change: dict[str, str | None], code: str, field: str) -> None:
    """A valid signature does not make an odd value good; the reason names the field."""
    fields = {key: value for key, value in {**FIELDS, **change}.items() if value is not None}
    refused = refusal(form(signed(preset(name), fields)), source(preset(name)))
    assert refused.code == code
    assert field in refused.detail
    assert refused.http_status == (401 if code == "wrong_appid" else 400)


JSON_CASES = {
    "not JSON": ("{", "malformed"),
    "a list": ("[]", "malformed"),
    "a text": ('"x"', "malformed"),
    "NaN": ('{"Amount": NaN}', "malformed"),
    "Infinity": ('{"Amount": -Infinity}', "malformed"),
    "a byte order mark": ("\ufeff{}", "malformed"),
    "a member twice": ('{"Amount": 1, "Amount": 2}', "duplicate_field"),
    "a member twice, escaped": ('{"Amount": 1, "\\u0041mount": 2}', "duplicate_field"),
    "a member twice, deep": ('{"a": {"b": 1, "b": 1}}', "duplicate_field"),
    "a nested value": ('{"a": {"b": 1}}', "malformed"),
    "a list as value": ('{"a": [1]}', "malformed"),
    "NUL": ('{"a": "\\u0000"}', "malformed"),
    "a hundred thousand brackets": ("[" * 100_000, "malformed"),
    "a deep object": ('{"a":' * 30_000, "malformed"),
    "a number of 60,000 digits": (f'{{"Amount": {"9" * 60_000}}}', "bad_signature"),
    "half a surrogate pair": ('{"order": "\\ud800", "sign": "x"}', "bad_signature"),
    "a signature that is a number": ('{"sign": 1}', "bad_signature"),
    "a signature that is null": ('{"sign": null}', "bad_signature"),
    "a signature that is true": ('{"sign": true}', "bad_signature"),
    "51 members": (json.dumps({f"f{number}": 1 for number in range(51)}), "malformed"),
}


@pytest.mark.parametrize(("text", "code"), JSON_CASES.values(), ids=JSON_CASES)
def test_odd_json_is_refused_with_a_reason(text: str, code: str) -> None:
    """Neither depth nor size nor constants get past the reader or bring it down."""
    assert refusal(as_json(text), HOUSE_SOURCE).code == code


def test_a_text_that_nobody_closes_costs_no_time() -> None:
    """It is looked through once, whoever sent it: nothing is signed yet where the signature stands inside the body."""
    began = time.process_time()
    assert refusal(as_json("[]" * 201 + '"' + '\\"' * 30_000), HOUSE_SOURCE).code == "malformed"
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"Status": "77"}, "Status"),
        ({"Amount": "1.2.3"}, "Amount"),
        ({"At": "1" * 12}, "At"),
        ({"At": "01"}, "At"),
        ({"note": "a&b"}, "signed text"),
    ],
)
def test_what_a_loose_pattern_lets_through_is_checked_again(change: dict[str, str], field: str) -> None:
    """A pattern is the operator's; status, amount, time and joiner are ours."""
    refused = refusal(as_json(json.dumps(signed(HOUSE_ADAPTER, {**HOUSE_FIELDS, **change}))), HOUSE_SOURCE)
    assert field in refused.detail


def test_refusals_never_show_a_secret_or_a_value() -> None:
    """Details are stored and shown; values of fields stay in the raw request."""
    for raw, _, _ in UNSIGNED_CASES.values():
        assert not any(value in refusal(raw).detail for value in (KEY, GOOD["sign"], FIELDS["orderid"]))


WORDS = st.text("0123456789abcdefghijklmnopqrstuvwxyzAV_-", min_size=1, max_size=12)
MESSAGES = st.fixed_dictionaries(
    {
        "amount": st.from_regex(r"[1-9][0-9]{0,6}", fullmatch=True),
        "appid": st.just(APPID),
        "localusermark": st.one_of(
            st.from_regex(r"[0-9]{1,8}", fullmatch=True), WORDS, st.sampled_from(["1orderid9", "t1", "7orderidt"])
        ),
        "orderid": st.one_of(
            WORDS,
            st.from_regex(r"[a-z][0-9]{1,8}", fullmatch=True),
            st.sampled_from(["9orderidX", "t1662299838", "orderidorderid"]),
        ),
        "t": st.from_regex(r"[1-9][0-9]{9}", fullmatch=True),
    }
)


@given(st.sampled_from([V1, HMAC]), MESSAGES, st.data())
def test_moved_boundaries_are_always_refused(adapter: Adapter, fields: dict[str, str], data: st.DataObject) -> None:
    """Of what a provider may send, any other set of fields that the same signature covers is refused."""
    assume(all(adapter.patterns[name].fullmatch(value) for name, value in fields.items()))
    moved = data.draw(st.sampled_from(_moved(adapter, fields)))
    stolen = {**moved, "sign": sign(adapter.scheme, KEY, fields)}
    assert refusal(form(stolen), source(adapter)).code in {
        "bad_signature",
        "bad_field",
        "missing_field",
        "wrong_appid",
        "ambiguous",
    }


def _moved(adapter: Adapter, fields: dict[str, str]) -> list[dict[str, str]]:
    """All ways to shift the end of one value and the start of the next, names moving along where they are signed."""
    result = []
    for first, second in pairwise(sorted(fields)):
        between = second if adapter.scheme.pair == "kv" else ""
        text = fields[first] + between + fields[second]
        places = [at for at in range(len(text)) if text.startswith(between, at) and at != len(fields[first])]
        result += [{**fields, first: text[:at], second: text[at + len(between) :]} for at in places]
    return result or [{**fields, "amount": fields["amount"] + "0"}]


@pytest.mark.parametrize(
    ("adapter", "one", "other"),
    [
        (HMAC, {"localusermark": "1", "orderid": "27-order"}, {"localusermark": "12", "orderid": "7-order"}),
        (V1, {"localusermark": "1orderid9", "orderid": "X"}, {"localusermark": "1", "orderid": "9orderidX"}),
    ],
)
def test_known_collisions_are_refused_on_both_sides(
    adapter: Adapter, one: dict[str, str], other: dict[str, str]
) -> None:
    """The pairs that share a signature: neither the paid one nor the stolen one is believed."""
    assert signed(adapter, {**FIELDS, **one})["sign"] == signed(adapter, {**FIELDS, **other})["sign"]
    for change in (one, other):
        assert refusal(form(signed(adapter, {**FIELDS, **change})), source(adapter)).code in {"ambiguous", "bad_field"}


ANY_TEXT = st.text(st.characters(exclude_categories=[]))
BODIES = st.one_of(
    st.binary(max_size=400),
    st.binary(max_size=40).map(lambda noise: SENT[:60] + noise + SENT[60:]),
    st.lists(st.tuples(st.sampled_from([*FIELDS, "sign", "x"]), ANY_TEXT), max_size=8).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
    ),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT),
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(st.one_of(st.sampled_from([*HOUSE_FIELDS, "sign"]), ANY_TEXT), inner)
        ),
    ).map(lambda value: json.dumps(value).encode()),
)


@given(
    st.sampled_from([source(), source(HMAC), HOUSE_SOURCE, source(RAW, appid=None)]),
    BODIES,
    st.sampled_from([FORM, "application/json", "application/json;charset=UTF-8"]),
    st.sampled_from(["", "a=1"]),
    st.dictionaries(st.sampled_from(["X-Sig", "X-Time", "Content-Encoding", "Host"]), ANY_TEXT),
)
def test_any_bytes_become_a_callback_or_a_refusal(
    of: Source, body: bytes, content_type: str, query: str, headers: dict[str, str]
) -> None:
    """No bytes, however odd, make the door raise anything else."""
    with suppress(CallbackRejected):
        read_callback(of, RawRequest(body, content_type, query, headers), now=datetime.now(UTC))


@given(st.dictionaries(st.sampled_from(list(HOUSE_FIELDS)), ANY_TEXT))
def test_any_signed_values_become_a_callback_or_a_refusal(change: dict[str, str]) -> None:
    """The same behind a valid signature, where the fields are read."""
    body = json.dumps(signed(HOUSE_ADAPTER, {**HOUSE_FIELDS, **change}))
    with suppress(CallbackRejected):
        assert read_callback(HOUSE_SOURCE, as_json(body), now=SENT_AT).secret_id == Secret.of(KEY).id


def test_a_stranger_who_names_one_header_again_and_again_fills_no_memory() -> None:
    """A header that is repeated has room for a quarter of a million names, and another for what each stands for."""
    headers = {"X-Sig": f"h={'a ' * 250_000},v1={'0' * 64}", "a": "x" * 500_000}
    raw = RawRequest(json.dumps(HOUSE_FIELDS).encode(), "application/json", "", headers)
    assert refusal(raw, source(LISTING, appid=None)).code == "bad_signature"


def test_headers_that_the_signature_names_are_signed() -> None:
    """Those and no others, in the order in which it names them."""
    body = json.dumps(HOUSE_FIELDS).encode()
    signature = sign(LISTING.scheme, KEY, {}, body=body, fill=lambda _: "1.2")
    headers = {"X-Sig": f"h=x-a x-b,v1={signature}", "X-A": "1", "X-B": "2"}
    raw = RawRequest(body, "application/json", "", headers)
    assert read_callback(source(LISTING, appid=None), raw, now=SENT_AT).orderid == "o-1"
