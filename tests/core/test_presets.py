"""Presets: every one says a credit and believes it, and nothing hostile gets past any of them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.core.adapters import Adapter, parse_adapter
from relay.core.bodies import read_flat, read_form
from relay.core.callbacks import Callback, Status
from relay.core.parsing import RawRequest, read_callback
from relay.core.schemes import separates
from relay.core.signatures import nowhere, sign
from relay.core.sources import Source
from relay.errors import CallbackRejected
from tests.core.examples import ADDRESS, KEY, PRESETS, SENT_AT, URL, paid, preset, request, sent, signed, source

EVERY = {name: parse_adapter(name, table) for name, table in PRESETS.items()}
BY_NAME = pytest.mark.parametrize("adapter", EVERY.values(), ids=EVERY)
WITH_STATUSES = pytest.mark.parametrize(
    "adapter", [adapter for adapter in EVERY.values() if adapter.statuses], ids=lambda adapter: adapter.name
)


def receiver(adapter: Adapter) -> Source:
    """A source of this adapter."""
    return source(adapter, appid="1000")


def read(adapter: Adapter, raw: RawRequest, **options: Any) -> Callback:
    """What such a source makes of a request."""
    return read_callback(receiver(adapter), raw, now=SENT_AT, url=URL, **options)


@BY_NAME
def test_every_preset_reads_what_its_provider_says(adapter: Adapter) -> None:
    """Amount and status in our words; of the rest, whatever the dialect can say."""
    said, callback = paid(adapter), read(adapter, sent(adapter))
    assert (callback.orderid, callback.status, callback.amount_micros) == (said.orderid, said.status, 30_500_000)
    for word in ("user_ref", "provider_order_id", "tx_hash", "occurred_at"):
        assert getattr(callback, word) == (getattr(said, word) if word in adapter.names else None), word
    assert callback.signature is None or adapter.signature_names_fields


FACTS = {
    "crossingpay-v2": ("json", "total", 200, {"succeeded", "failed", "pending"}),
    "epusdt": ("json", "total", 200, {"succeeded", "pending", "expired"}),
    "epay": ("query", "total", 200, {"succeeded"}),
    "shkeeper": ("nested", "total", 202, {"succeeded", "pending"}),
    "btcpay": ("nested", "increment", 200, {"succeeded", "pending", "expired", "failed"}),
    "nowpayments": ("nested", "total", 200, {"succeeded", "pending", "failed", "refunded", "expired"}),
    "cryptomus": ("nested", "total", 200, {"succeeded", "pending", "failed", "refunded", "expired"}),
    "coinpayments-v1": ("form", "total", 200, {"succeeded", "pending", "failed", "refunded"}),
}


@pytest.mark.parametrize(("name", "facts"), FACTS.items())
def test_presets_say_how_the_provider_speaks(name: str, facts: tuple[str, str, int, set[str]]) -> None:
    """Shape, what an amount counts, the answer that is expected, and which of our words it can say."""
    adapter = preset(name)
    assert (adapter.body, adapter.amount_counts, adapter.ack.status, {*adapter.statuses.values()}) == facts


@WITH_STATUSES
def test_every_status_of_a_provider_is_read_as_mapped(adapter: Adapter) -> None:
    """One request for each word the provider has."""
    for theirs, ours in adapter.statuses.items():
        one = dataclasses.replace(adapter, statuses={theirs: ours})
        callback = read(adapter, sent(one, paid(adapter, status=ours)))
        assert (callback.status, callback.raw_status) == (ours, theirs)


@WITH_STATUSES
def test_a_status_without_a_mapping_is_kept(adapter: Adapter) -> None:
    """Not refused and not guessed: its own word goes along."""
    pattern = adapter.patterns[adapter.names["status"]]
    word = next(word for word in ("9", "SOMETHING_NEW", "something_new", "SomethingNew") if pattern.fullmatch(word))
    changed = dataclasses.replace(adapter, statuses={word: Status.SUCCEEDED})
    callback = read(adapter, sent(changed))
    assert (callback.status, callback.raw_status) == (Status.UNKNOWN, word)


@BY_NAME
def test_what_a_provider_may_leave_out_may_be_missing(adapter: Adapter) -> None:
    """A transaction that is not known yet is none, not an empty text."""
    if adapter.names.get("tx_hash") in adapter.optional - adapter.needed_to_credit:
        assert read(adapter, sent(adapter, paid(adapter, tx_hash=None))).tx_hash is None


@BY_NAME
def test_money_names_its_amount_and_its_coin(adapter: Adapter) -> None:
    """What may be missing while nothing is paid must be there for a credit."""
    for name in adapter.needed_to_credit:
        without = Message(adapter)
        without.drop(name)
        with pytest.raises(CallbackRejected, match=re.escape(name)):
            read(adapter, without.request())


def test_a_number_of_the_provider_is_no_transaction() -> None:
    """BEpusdt puts its own number where the transaction's will be."""
    adapter = preset("bepusdt")
    waiting = paid(adapter, status=Status.PENDING, tx_hash="5077125051")
    assert read(adapter, sent(adapter, waiting)).tx_hash is None


@pytest.mark.parametrize(
    ("apart_s", "fresh", "code"), [(300, True, ""), (301, True, "stale"), (-301, True, "stale"), (9999, False, "")]
)
def test_an_old_signature_is_refused_where_a_window_is_agreed(apart_s: int, code: str, *, fresh: bool) -> None:
    """SHKeeper signs each repetition anew; a request that was stored is read whatever its age."""
    adapter = preset("shkeeper")
    raw = sent(adapter)
    later = int(raw.headers["X-Shkeeper-Timestamp"]) + apart_s
    now = SENT_AT.fromtimestamp(later, SENT_AT.tzinfo)
    if not code:
        assert read_callback(receiver(adapter), raw, now=now, fresh=fresh).amount_micros == 30_500_000
        return
    with pytest.raises(CallbackRejected) as refused:
        read_callback(receiver(adapter), raw, now=now)
    assert (refused.value.code, refused.value.http_status) == ("stale_signature", 401)


def test_a_signature_over_an_address_holds_at_that_address_only() -> None:
    """CoinPayments signs where it calls."""
    adapter = preset("coinpayments-v2")
    with pytest.raises(CallbackRejected) as refused:
        read_callback(receiver(adapter), sent(adapter), now=SENT_AT, url="https://elsewhere.example/")
    assert refused.value.code == "bad_signature"


class Message:
    """A valid callback that can be bent and is signed anew afterwards."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.raw = adapter, sent(adapter)
        self.is_json = adapter.body in ("json", "nested")
        given = self.raw.body or self.raw.query.encode()
        self.members: dict[str, Any] = json.loads(given, parse_float=str) if self.is_json else dict(read_form(given))
        if adapter.scheme.location == "body":
            del self.members[adapter.scheme.name]

    def names(self) -> list[str]:
        """The fields that the adapter reads."""
        return [name for name in self.adapter.patterns if self._place(name) is not None]

    def drop(self, name: str) -> None:
        """Take a field away."""
        place, last = self._place(name) or ({}, "")
        del place[last]

    def put(self, name: str, value: Any) -> None:
        """Set a field to a value of any kind."""
        place, last = self._place(name) or (self.members, name)
        place[last] = value

    def rename(self, name: str, change: Callable[[str], str]) -> None:
        """Give a field another name."""
        place, last = self._place(name) or ({}, "")
        place[change(last)] = place.pop(last)

    def _place(self, name: str) -> tuple[dict[str, Any], str] | None:
        if name in self.members or self.adapter.body != "nested":
            return (self.members, name) if name in self.members else None
        *parents, last = name.split(".")
        inner: Any = self.members
        for parent in parents:
            inner = inner.get(parent.partition("[")[0], {})
            inner = inner[0] if isinstance(inner, list) else inner
        return (inner, last) if last in inner else None

    def request(self, *, key: str = KEY, extra: str = "") -> RawRequest:
        """The request, signed; `extra` is put in front of the members of a JSON body as it is."""
        scheme, body = self.adapter.scheme, self._body(extra)
        if scheme.location == "header":
            headers = {**self.raw.headers, scheme.name: self._sign(key, {}, body)}
            return dataclasses.replace(self.raw, body=body, headers=headers)
        fields = {} if self.adapter.body == "nested" else self._fields(body)
        self.members[scheme.name] = self._sign(key, fields, body)
        body = self._body(extra)
        del self.members[scheme.name]
        if self.adapter.body == "query":
            return dataclasses.replace(self.raw, query=body.decode())
        return dataclasses.replace(self.raw, body=body)

    def _fields(self, body: bytes) -> dict[str, str]:
        try:
            return read_flat(body, self.adapter.numbers) if self.is_json else read_form(body)
        except CallbackRejected:
            return {}

    def _sign(self, key: str, fields: dict[str, str], body: bytes) -> str:
        scheme = self.adapter.scheme
        fill = {"method": "POST", "url": URL, "header:X-CoinPayments-Client": "1000"}.get
        timestamp = self.raw.headers.get(scheme.timestamp, "")
        try:
            return sign(
                scheme, key, fields, body=body, timestamp=timestamp, fill=lambda name: fill(name) or nowhere(name)
            )
        except CallbackRejected:
            return "0"

    def _body(self, extra: str) -> bytes:
        if self.is_json:
            text = json.dumps(self.members)
            return (text if not extra else f"{{{extra},{text[1:]}").encode()
        return request(b"&".join(f"{name}={value}".encode() for name, value in self.members.items())).body


HOSTILE: dict[str, Callable[[Message, str], None]] = {
    "dropped": lambda message, name: message.drop(name),
    "blank": lambda message, name: message.put(name, ""),
    "a space": lambda message, name: message.put(name, " "),
    "null": lambda message, name: message.put(name, None),
    "a list": lambda message, name: message.put(name, ["1"]),
    "an object": lambda message, name: message.put(name, {"a": 1}),
    "in the wrong case": lambda message, name: message.rename(name, str.swapcase),
    "under another name": lambda message, name: message.rename(name, lambda name: f"{name}_"),
    "a huge number": lambda message, name: message.put(name, 10**400),
    "a number of 4,000 digits": lambda message, name: message.put(name, "9" * 4000),
    "an exponent": lambda message, name: message.put(name, "1e5 "),
    "NUL": lambda message, name: message.put(name, "a\0"),
    "a line break": lambda message, name: message.put(name, "1\n"),
    "Cyrillic": lambda message, name: message.put(name, "\u043e"),
    "half a surrogate pair": lambda message, name: message.put(name, "\\ud800"),
}
JSON_ONLY = {"null", "a list", "an object"}
MAY_BE_MISSING = {"dropped", "blank", "null", "in the wrong case", "under another name"}


@BY_NAME
@pytest.mark.parametrize(("kind", "bend"), HOSTILE.items(), ids=HOSTILE)
def test_a_bent_field_is_refused_even_when_it_is_signed(
    adapter: Adapter, kind: str, bend: Callable[[Message, str], None]
) -> None:
    """Field by field: 4xx and nothing else. Only what may be missing may be empty or elsewhere."""
    freely_missing = adapter.optional - adapter.needed_to_credit if kind in MAY_BE_MISSING else frozenset()
    # EPay's goods have a name of any kind, and a form has texts only.
    free_text = {"name"} if adapter.name == "epay" and kind not in MAY_BE_MISSING else set()
    for name in Message(adapter).names():
        message = Message(adapter)
        if name in freely_missing | free_text or (kind in JSON_ONLY and not message.is_json):
            continue
        bend(message, name)
        with pytest.raises(CallbackRejected) as refused:
            read(adapter, message.request())
        assert 400 <= refused.value.http_status < 500, name


@BY_NAME
def test_another_key_is_refused(adapter: Adapter) -> None:
    """The signature decides before any field is looked at."""
    with pytest.raises(CallbackRejected) as refused:
        read(adapter, sent(adapter, key="another"))
    assert refused.value.code == "bad_signature"


JSON = [adapter for adapter in EVERY.values() if adapter.body in ("json", "nested")]
ODD_MEMBERS = {
    "a member twice": ('"{name}": "1"', {"duplicate_field", "bad_signature"}),
    "a member twice, escaped": ('"{escaped}": "1"', {"duplicate_field", "bad_signature"}),
    "a member twice, deep": ('"x": {{"y": {{"b": 1, "b": 1}}}}', {"duplicate_field", "bad_signature"}),
    "NaN": ('"x": NaN', {"malformed", "bad_signature"}),
    "brackets without end": ('"x": ' + "[" * 30_000, {"malformed", "bad_signature"}),
    "a deep object": ('"x": ' + '{{"a":' * 20_000, {"malformed", "bad_signature"}),
}


@pytest.mark.parametrize("adapter", JSON, ids=lambda adapter: adapter.name)
@pytest.mark.parametrize(("member", "codes"), ODD_MEMBERS.values(), ids=ODD_MEMBERS)
def test_odd_json_is_refused_by_every_preset(adapter: Adapter, member: str, codes: set[str]) -> None:
    """Two members of one name are two answers, however deep and however they are spelled."""
    message = Message(adapter)
    name = next(iter(message.members))
    raw = message.request(extra=member.format(name=name, escaped=f"\\u{ord(name[0]):04x}{name[1:]}"))
    with pytest.raises(CallbackRejected) as refused:
        read(adapter, raw)
    assert refused.value.code in codes


@BY_NAME
def test_an_unknown_field_is_refused_or_without_meaning(adapter: Adapter) -> None:
    """Where the whole body is signed, providers may add what they like; elsewhere nobody may."""
    message = Message(adapter)
    message.put("brand_new", "1")
    if adapter.body == "nested" or adapter.ignores_unknown:
        assert read(adapter, message.request()).amount_micros == 30_500_000
        return
    with pytest.raises(CallbackRejected) as refused:
        read(adapter, message.request())
    assert refused.value.code == "unknown_field"


SEPARATOR_FREE = [adapter for adapter in EVERY.values() if not separates(adapter.scheme)]


@given(st.sampled_from(SEPARATOR_FREE), st.data())
def test_moved_boundaries_are_refused_for_every_scheme_without_separators(
    adapter: Adapter, data: st.DataObject
) -> None:
    """Of what a provider may send, any other fields that sign the same text are refused."""
    values = {name: data.draw(st.from_regex(pattern, fullmatch=True)) for name, pattern in adapter.patterns.items()}
    if "appid" in adapter.names:
        assume(adapter.patterns[adapter.names["appid"]].fullmatch("1000"))
        values[adapter.names["appid"]] = "1000"
    moved = _move(adapter, values, data)
    assume(moved is not None and moved != values)
    stolen = {**(moved or {}), adapter.scheme.name: signed(adapter, values)[adapter.scheme.name]}
    with pytest.raises(CallbackRejected):
        read(adapter, _as_request(adapter, stolen))


def _move(adapter: Adapter, values: dict[str, str], data: st.DataObject) -> dict[str, str] | None:
    """Move one boundary in the text of all pairs; names move along where they are signed."""
    names = sorted(values)
    at = data.draw(st.integers(0, len(names) - 2))
    first, second = names[at], names[at + 1]
    between = second if adapter.scheme.pair == "kv" else ""
    text = values[first] + between + values[second]
    cuts = [cut for cut in range(len(text)) if text.startswith(between, cut) and cut != len(values[first])]
    if not cuts:
        return None
    cut = data.draw(st.sampled_from(cuts))
    return {**values, first: text[:cut], second: text[cut + len(between) :]}


def _as_request(adapter: Adapter, fields: dict[str, str]) -> RawRequest:
    if adapter.body == "json":
        return request(json.dumps(fields).encode(), content_type="application/json")
    return request("&".join(f"{name}={value}" for name, value in fields.items()).encode())


def test_cregis_shares_signatures_only_with_what_is_refused() -> None:
    """The next name inside a value moves a boundary; both readings are refused."""
    adapter = preset("cregis")
    fields = {name: str(value) for name, value in Message(adapter).members.items()}
    one = {**fields, "token_id": "AtxidB", "address": ADDRESS}
    assert sign(adapter.scheme, KEY, one) == sign(
        adapter.scheme, KEY, {**one, "token_id": "A", "txid": f"Btxid{one['txid']}"}
    )
    assert read(adapter, _as_request(adapter, signed(adapter, one))).status is Status.SUCCEEDED
    with pytest.raises(CallbackRejected):
        read(adapter, _as_request(adapter, signed(adapter, {**one, "token_id": "A", "txid": f"Btxid{one['txid']}"})))


VECTORS: dict[str, tuple[dict[str, Any], str]] = {
    "crossingpay-v2": (
        {
            "Address": ADDRESS,
            "Amount": "100.29",
            "OrderID": "202505140000001259",
            "SystemOrderID": "202505140000001015",
            "Txid": "a1" * 32,
            "Status": 1,
            "Timestamp": 1747200000,
        },
        "d803e8e6fdd4a2d59842c4bde20f309d",
    ),
    "crossingpay-v2-snake": (
        {
            "address": ADDRESS,
            "amount": "100.29",
            "order_id": "202505140000001259",
            "system_order_id": "202505140000001015",
            "tx_hash": "a1" * 32,
            "timestamp": 1747200000,
        },
        "4bfb1fc5c7bcee4bd7ab9cd7bf5826ab",
    ),
    "epusdt": (
        {
            "actual_amount": 14.2857,
            "amount": 100.0,
            "block_transaction_id": "ab" * 32,
            "order_id": "O1",
            "status": 2,
            "token": ADDRESS,
            "trade_id": "T1",
        },
        "9874c71da4e1c3c0a6cf1081ca809af6",
    ),
}


@pytest.mark.parametrize(("name", "vector"), VECTORS.items())
def test_a_preset_believes_the_vector_of_its_provider(name: str, vector: tuple[dict[str, Any], str]) -> None:
    """Body and digest as they would come; `100.0` is signed as Go writes it."""
    adapter, (members, digest) = preset(name), vector
    body = json.dumps({**members, adapter.scheme.name: digest}).encode()
    assert read(adapter, request(body, content_type="application/json")).status is Status.SUCCEEDED


def test_a_digest_over_the_naive_spelling_is_refused() -> None:
    """Over `100.0`, as a program in Python would write it."""
    members, _ = VECTORS["epusdt"]
    body = json.dumps({**members, "signature": "3c51e32735e5c5fecd4601dfe123231b"}).encode()
    with pytest.raises(CallbackRejected) as refused:
        read(preset("epusdt"), request(body, content_type="application/json"))
    assert refused.value.code == "bad_signature"


def test_epays_vector_comes_as_a_query() -> None:
    """`sign_type` is not part of what is signed."""
    query = (
        "money=28.88&name=test&out_trade_no=O1&pid=1000&trade_no=T1&trade_status=TRADE_SUCCESS&type=usdt.trc20"
        "&sign=d603e3ecc907fc6535bde3e733377fa3&sign_type=MD5"
    )
    assert read(preset("epay"), RawRequest(b"", "", query, {})).amount_micros == 28_880_000


def test_the_generic_preset_believes_the_guides_callback() -> None:
    """Vector B: the same fields as the guide's, under MD5 with &key=."""
    fields = {"amount": "30000", "appid": "VunT0000h1l8", "localusermark": "1", "orderid": "sh-56073d0000008a2ff5521a"}
    body = "&".join(f"{name}={value}" for name, value in fields.items()) + "&t=1662299838"
    raw = request(f"{body}&sign=FC16B9E9139281129E2F65C7ED339EBC".encode())
    assert read_callback(source(preset("md5-upper-key")), raw, now=SENT_AT).amount_micros == 3_000_000
