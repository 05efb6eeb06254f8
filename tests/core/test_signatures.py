"""Signatures: vectors of real providers, and every way in which a signature can fail."""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.signatures import ENCODINGS, HASHES, HMACS, PAIRS, Scheme, Secret, sign, signed_pairs, verify
from relay.errors import CallbackRejected

KEY = "relay-test-secret"
SECRETS = (Secret.of(KEY),)


def scheme(digest: str, **rest: object) -> Scheme:
    """A scheme that signs fields into the body field `sign`."""
    return dataclasses.replace(Scheme(name="sign", digest=digest), **rest)  # type: ignore[arg-type] # a shorthand for tables of cases


SHA1_PLAIN = scheme("sha1", pair="kv", joiner="", place="suffix", encoding="hex-upper")
HMAC_VALUES = scheme("hmac-sha256", pair="v", joiner="", encoding="hex-upper")
MD5_APPENDED = scheme("md5", place="suffix")
MD5_BY_PAIR = scheme("md5", place="suffix", order="pair")
RAW_BODY = Scheme(name="X-Signature", digest="hmac-sha256", location="header", envelope="body")
TIMED_BODY = Scheme(
    name="X-Signature", digest="hmac-sha256", location="header", envelope="timestamp.body", timestamp="X-Time"
)

V1 = {
    "amount": "30000",
    "appid": "VunT0000h1l8",
    "localusermark": "1",
    "orderid": "sh-56073d0000008a2ff5521a",
    "t": "1662299838",
}
TRON = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"
V2 = {
    "Address": TRON,
    "Amount": "100.29",
    "OrderID": "202505140000001259",
    "SystemOrderID": "202505140000001015",
    "Txid": "a1" * 32,
    "Status": "1",
    "Timestamp": "1747200000",
}
V2_SNAKE = {
    "address": TRON,
    "amount": "100.29",
    "order_id": "202505140000001259",
    "system_order_id": "202505140000001015",
    "tx_hash": "a1" * 32,
    "timestamp": "1747200000",
    "status": "1",
}
EPUSDT_ORDER = {
    "order_id": "20220201030210321",
    "amount": "42",
    "notify_url": "http://example.com/notify",
    "redirect_url": "http://example.com/redirect",
}
EPUSDT_NOTIFY = {
    "actual_amount": "14.2857",
    "amount": "100",
    "block_transaction_id": "ab" * 32,
    "order_id": "O1",
    "status": "2",
    "token": TRON,
    "trade_id": "T1",
}
EPAY = dict(
    pair.split("=")
    for pair in [
        "money=28.88",
        "name=test",
        "out_trade_no=O1",
        "pid=1000",
        "trade_no=T1",
        "trade_status=TRADE_SUCCESS",
        "type=usdt.trc20",
    ]
)

CREGIS = {
    "pid": "1382528827416576",
    "currency": "195@195",
    "address": "TXsmKpEuW7qWnXzJLGP9eDLvWPR2GRn1FS",
    "amount": "1.1",
    "remark": "payout",
    "third_party_id": "c9231e604da54469a735af3f449c880f",
    "callback_url": "http://192.168.2.29:9099/callback",
    "nonce": "hwlkk6",
    "timestamp": "1688004243314",
    "memo": "",
}
FIELD_VECTORS = {
    "A: SHA-1 of names and values": (SHA1_PLAIN, KEY, V1, "704117F4A13B6B938D0445F03CCC99A0FD8411FF"),
    "B: MD5 with &key=": (
        scheme("md5", place="suffix", place_text="&key=", encoding="hex-upper"),
        KEY,
        V1,
        "FC16B9E9139281129E2F65C7ED339EBC",
    ),
    "C: MD5 with the secret appended": (MD5_APPENDED, KEY, V1, "7e472781bfb8065709797114ac78e5e7"),
    "D: HMAC of bare values": (
        HMAC_VALUES,
        KEY,
        V1,
        "891E0B40B06E047D14685FAC2EE38E4186BB595BB51A37606EB1B6B580366599",
    ),
    "E: HMAC of pairs": (
        scheme("hmac-sha256"),
        KEY,
        V1,
        "aa09570f7e728db0a66102afaf4522ce619ac4330000f768c5b84e0010c40a68",
    ),
    "V2, whatever came": (scheme("md5", place="suffix"), KEY, V2, "d803e8e6fdd4a2d59842c4bde20f309d"),
    "V2, six named fields": (
        scheme("md5", place="suffix", fields=frozenset(V2_SNAKE) - {"status"}),
        KEY,
        V2_SNAKE,
        "4bfb1fc5c7bcee4bd7ab9cd7bf5826ab",
    ),
    "epusdt, published": (MD5_APPENDED, "epusdt_password_xasddawqe", EPUSDT_ORDER, "1cd4b52df5587cfb1968b0c0c6e156cd"),
    "epusdt notification": (MD5_BY_PAIR, KEY, EPUSDT_NOTIFY, "9874c71da4e1c3c0a6cf1081ca809af6"),
    "sorted by name": (MD5_APPENDED, KEY, {"pay2": "2", "pay": "1"}, "91ed918839b7faaf569b801a3ca2ae16"),
    "sorted by pair": (MD5_BY_PAIR, KEY, {"pay": "1", "pay2": "2"}, "11275d684fc14680450ae9bb55ab0d81"),
    "Cregis, published": (
        scheme("md5", pair="kv", joiner="", place="prefix", empty="drop"),
        "f502a9ac9ca54327986f29c03b271491",
        CREGIS,
        "d6eef2de79e39f434a38efb910213ba6",
    ),
    "EPay": (MD5_APPENDED, KEY, EPAY, "d603e3ecc907fc6535bde3e733377fa3"),
}
COINSPAID = "03c25fcf7cd35e7d995e402cd5d51edd72d48e1471e865907967809a0c189ba55b90815f20e2bb10f82c7a9e9d865546fda58989c2ae9e8e2ff7bc29195fa1ec"
COINPAYMENTS = "a10b79cdeeb4463563e4ff3ae530274667fcf1d435d3dec2a5da4d69d5cf03e10e4059d10169b89d5f810d11182a31b9e84a4415ccaba67a0c9457c552191215"
BODY_VECTORS = {
    "CoinsPaid, published": (
        dataclasses.replace(RAW_BODY, digest="hmac-sha512"),
        "AbCdEfG123456",
        b'{"currency":"BTC","foreign_id":"123456"}',
        "",
        COINSPAID,
    ),
    "Coinify, published": (
        RAW_BODY,
        "my-shared-secret",
        b'{"examplePayload":true}',
        "",
        "bcdbb89e3031905f3cc1a20d16b5f969a17a7d8fa0c26e4a807c2193402d66f4",
    ),
    "SHKeeper": (
        TIMED_BODY,
        KEY,
        b'{"invoice_id":"123","status":"paid"}',
        "1711111111",
        "d784ffc14373f20e74dd6a2d5cd0f3c9d972329018ecbcf79aebd69e55fe220c",
    ),
    "BTCPay": (
        dataclasses.replace(RAW_BODY, label="sha256="),
        KEY,
        b'{"type":"InvoiceSettled","invoiceId":"abc"}',
        "",
        "sha256=6452624c46f140607f608cbd0134ffd43f671e1643fcfdd5d1f06484ab82267a",
    ),
    "Coinbase Commerce": (
        RAW_BODY,
        KEY,
        b'{"type":"InvoiceSettled","invoiceId":"abc"}',
        "",
        "6452624c46f140607f608cbd0134ffd43f671e1643fcfdd5d1f06484ab82267a",
    ),
    "CoinPayments v1": (
        dataclasses.replace(RAW_BODY, digest="hmac-sha512"),
        KEY,
        b"ipn_mode=hmac&merchant=M1&status=100&txn_id=CPXX&amount1=10.00&currency1=USD",
        "",
        COINPAYMENTS,
    ),
}


@pytest.mark.parametrize(("rule", "key", "fields", "digest"), FIELD_VECTORS.values(), ids=FIELD_VECTORS)
def test_signed_fields_give_the_known_digest(rule: Scheme, key: str, fields: dict[str, str], digest: str) -> None:
    """The engine says what the providers say, and believes it."""
    assert sign(rule, key, fields) == digest
    assert verify(rule, [Secret.of(key)], digest, fields) == Secret.of(key).id


@pytest.mark.parametrize(("rule", "key", "body", "timestamp", "digest"), BODY_VECTORS.values(), ids=BODY_VECTORS)
def test_signed_bodies_give_the_known_digest(rule: Scheme, key: str, body: bytes, timestamp: str, digest: str) -> None:
    """The same for schemes that sign the bytes, with or without a timestamp before them."""
    assert sign(rule, key, {}, body=body, timestamp=timestamp) == digest
    assert verify(rule, [Secret.of(key)], digest, {}, body=body, timestamp=timestamp) == Secret.of(key).id


def test_a_number_rendered_otherwise_does_not_verify() -> None:
    """`100.0` is not `100`: the text that was sent is the text that is signed."""
    with pytest.raises(CallbackRejected):
        verify(MD5_BY_PAIR, SECRETS, "9874c71da4e1c3c0a6cf1081ca809af6", {**EPUSDT_NOTIFY, "amount": "100.0"})
    with pytest.raises(CallbackRejected):
        verify(MD5_BY_PAIR, SECRETS, "3c51e32735e5c5fecd4601dfe123231b", EPUSDT_NOTIFY)


MALLEABLE = {
    "values only": (
        HMAC_VALUES,
        {**V1, "localusermark": "1", "orderid": "27-order"},
        {**V1, "localusermark": "12", "orderid": "7-order"},
    ),
    "names and values": (
        SHA1_PLAIN,
        {"amount": "30000", "appid": "A", "t": "1", "localusermark": "1orderid9", "orderid": "X"},
        {"amount": "30000", "appid": "A", "t": "1", "localusermark": "1", "orderid": "9orderidX"},
    ),
}


@pytest.mark.parametrize(("rule", "one", "other"), MALLEABLE.values(), ids=MALLEABLE)
def test_without_separators_one_signature_fits_two_sets_of_fields(
    rule: Scheme, one: dict[str, str], other: dict[str, str]
) -> None:
    """The engine cannot help it; tests of boundaries and parsing show who does."""
    assert one != other
    assert sign(rule, KEY, one) == sign(rule, KEY, other)


DIGEST = "704117F4A13B6B938D0445F03CCC99A0FD8411FF"
WRONG = [None, "", " ", "x", "\uff17" * 40, "\udc80", DIGEST.lower(), DIGEST + " ", "0" * 40]


@pytest.mark.parametrize("given_signature", WRONG)
def test_a_wrong_signature_is_refused_in_one_way(given_signature: str | None) -> None:
    """Missing, empty, foreign, in the wrong case: the same code and status."""
    with pytest.raises(CallbackRejected) as refused:
        verify(SHA1_PLAIN, SECRETS, given_signature, V1)
    assert (refused.value.code, refused.value.http_status) == ("bad_signature", 401)


@pytest.mark.parametrize("position", range(3))
def test_any_live_secret_verifies_and_is_named(position: int) -> None:
    """During a rotation callbacks under the old and the new secret are both good."""
    secrets = [Secret.of(f"{KEY}-{number}") for number in range(3)]
    signature = sign(SHA1_PLAIN, secrets[position].value, V1)
    assert verify(SHA1_PLAIN, secrets, signature, V1) == secrets[position].id


def test_every_secret_is_tried_also_behind_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work done does not tell which secret was right."""
    tried: list[bytes] = []

    def compare(mine: bytes, theirs: bytes, genuine: Callable[[bytes, bytes], bool] = hmac.compare_digest) -> bool:
        tried.append(mine)
        return genuine(mine, theirs)

    monkeypatch.setattr("relay.core.signatures.hmac.compare_digest", compare)
    verify(SHA1_PLAIN, [Secret.of(KEY), Secret.of("another")], sign(SHA1_PLAIN, KEY, V1), V1)
    assert len(tried) == 2


def test_a_secret_hides_in_repr_and_has_a_stable_id() -> None:
    """Ids may be stored and shown, values may not."""
    assert KEY not in repr(Secret.of(KEY))
    assert Secret.of(KEY).id == Secret.of(KEY).id != Secret.of("other").id
    assert len(Secret.of(KEY).id) == 12


def test_the_signature_is_not_part_of_what_is_signed() -> None:
    """All but the signature, unless it stands in a header."""
    assert signed_pairs(MD5_APPENDED, {"b": "2", "sign": "x", "a": "1"}) == ["a=1", "b=2"]
    assert signed_pairs(dataclasses.replace(MD5_APPENDED, location="header"), {"sign": "x"}) == ["sign=x"]


def test_empty_values_are_dropped_where_the_scheme_says_so() -> None:
    """Half of the providers drop them, half sign them."""
    assert signed_pairs(dataclasses.replace(MD5_APPENDED, empty="drop"), {"a": "", "b": "2"}) == ["b=2"]
    assert signed_pairs(MD5_APPENDED, {"a": "", "b": "2"}) == ["a=", "b=2"]


def test_order_of_receipt_is_kept_where_the_scheme_says_so() -> None:
    """Some providers sign what they send in the order in which they send it."""
    assert signed_pairs(dataclasses.replace(MD5_APPENDED, order="received"), {"b": "2", "a": "1"}) == ["b=2", "a=1"]


SCHEMES = st.builds(
    Scheme,
    name=st.just("sign"),
    digest=st.sampled_from([*HMACS, *HASHES]),
    location=st.sampled_from(["body", "header"]),
    envelope=st.sampled_from(["fields", "body", "timestamp.body"]),
    empty=st.sampled_from(["keep", "drop"]),
    order=st.sampled_from(["name", "pair", "received"]),
    pair=st.sampled_from(list(PAIRS)),
    joiner=st.sampled_from(["", "&", "|"]),
    place=st.sampled_from(["prefix", "suffix"]),
    place_text=st.sampled_from(["", "&key="]),
    encoding=st.sampled_from(list(ENCODINGS)),
    label=st.sampled_from(["", "sha256="]),
)
ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@given(SCHEMES, st.dictionaries(ANY_TEXT, ANY_TEXT), st.binary(), st.one_of(st.none(), ANY_TEXT))
def test_the_engine_is_total(rule: Scheme, fields: dict[str, str], body: bytes, offered: str | None) -> None:
    """Whatever the text, half surrogates too: its own signature verifies, any other is refused."""
    signature = sign(rule, KEY, fields, body=body, timestamp="1")
    assert verify(rule, SECRETS, signature, fields, body=body, timestamp="1") == SECRETS[0].id
    if offered != signature:
        with pytest.raises(CallbackRejected):
            verify(rule, SECRETS, offered, fields, body=body, timestamp="1")
