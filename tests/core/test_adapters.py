"""Adapters: the presets say what they should, and every mistake in a table is named."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from relay.core.adapters import Ack, parse_adapter, with_patterns
from relay.core.callbacks import Status
from relay.core.sections import Section
from relay.errors import ConfigError
from tests.core.examples import GUIDES, HOUSE, preset


@pytest.mark.parametrize("name", GUIDES)
def test_the_guides_presets_are_complete(name: str) -> None:
    """Each reads without faults, counts ten-thousandths, and its signature names its fields."""
    adapter = preset(name)
    assert adapter.names == {
        "orderid": "orderid",
        "user_ref": "localusermark",
        "amount": "amount",
        "appid": "appid",
        "occurred_at": "t",
    }
    assert (adapter.amount_form, adapter.unit_micros, adapter.status) == ("integer", 100, Status.SUCCEEDED)
    assert adapter.ack == Ack(200, "success")
    assert adapter.signature_names_fields


def test_an_adapter_may_map_statuses_and_bear_other_fields() -> None:
    """What a source brings of its own goes through the same reader."""
    adapter = parse_adapter("house", HOUSE)
    assert adapter.statuses == {"0": Status.FAILED, "1": Status.SUCCEEDED, "2": Status.PENDING}
    assert set(adapter.patterns) == {"order", "Amount", "Status", "Txid", "At", "note"}
    assert adapter.status is None


def test_a_signature_over_some_fields_does_not_name_them_all() -> None:
    """With the transaction outside, one signature may come with two transactions."""
    assert not parse_adapter("house", changed("signature.fields", ["order", "Amount", "Status"])).signature_names_fields


FAULTS = {
    "digest of no kind": (
        "signature.digest",
        "sha3",
        'house.signature.digest: must be one of "hmac-sha1", "hmac-sha256", "hmac-sha512", "md5", "sha1", "sha256", "rsa-sha256", not "sha3"',
    ),
    "no digest": ("signature.digest", None, "house.signature.digest: is missing"),
    "typing error": ("signature.digset", "md5", 'house.signature.digset: is not known; did you mean "digest"?'),
    "secret nowhere": (
        "signature.digest",
        "md5",
        'house.signature.place: "md5" without a key needs the secret in the text: "prefix" or "suffix"',
    ),
    "signature inside what it signs": (
        "signature.envelope",
        "body",
        "house.signature.location: a signature over the whole body cannot stand inside it",
    ),
    "no time header": (
        "signature.envelope",
        "timestamp.body",
        'house.signature.timestamp: names the header whose text is signed by envelope "timestamp.body" or "text", and by no other',
    ),
    "time header for nothing": (
        "signature.timestamp",
        "X-Time",
        'house.signature.timestamp: names the header whose text is signed by envelope "timestamp.body" or "text", and by no other',
    ),
    "joiner like a name": (
        "signature.joiner",
        "a",
        "house.signature.joiner: must not be made of what names are made of, nor contain =",
    ),
    "received order of bare values": (
        "signature",
        {"name": "sign", "digest": "hmac-sha256", "pair": "v", "order": "received"},
        'house.signature.order: only pairs "k=v" with a joiner may be in another order than by name',
    ),
    "unsigned amount": (
        "signature.fields",
        ["order", "Status"],
        "house.fields.amount: must be covered by the signature",
    ),
    "signature as a field": ("other_fields.sign", "x", 'house.fields: "sign" is the signature, not a field'),
    "odd field name": ("other_fields.a b", "x", "house.fields.a b: must be plain letters, digits, _ . -"),
    "two fields of one name": ("other_fields.order", "x", "house.fields.name: two fields have the same name"),
    "no order number": ("fields.orderid", None, "house.fields.orderid: is missing"),
    "unknown word": (
        "fields.user",
        {"pattern": "x"},
        'house.fields.user: is not known; did you mean "user_ref"?',
    ),
    "broken pattern": (
        "other_fields.note",
        "[",
        "house.other_fields.note: is not a regular expression: unterminated character set at position 0",
    ),
    "pattern for nothing": ("other_fields.note", "[a-z]*", "house.other_fields.note: must not match the empty text"),
    "unit with too many places": ("amount.unit", "0.0000001", "house.amount.unit: USDT has six places at most"),
    "unit of nothing": ("amount.unit", "0", "house.amount.unit: must be from 0.000001 to 1 USDT"),
    "status twice": (
        "status",
        "succeeded",
        'house.status: give either a constant status, or fields.status and the table "statuses"',
    ),
    "status never": (
        "fields.status",
        None,
        'house.status: give either a constant status, or fields.status and the table "statuses"',
    ),
    "status of no kind": (
        "statuses.1",
        "paid",
        'house.statuses.1: must be one of "pending", "succeeded", "failed", "expired", "refunded", not "paid"',
    ),
    "ack that is a refusal": ("ack.status", 404, "house.ack.status: must be a whole number from 200 to 299"),
    "ack that is a truth value": ("ack.status", True, "house.ack.status: must be a whole number from 200 to 299"),
    "text that is a number": ("signature.name", 7, "house.signature.name: must be a text in quotes"),
    "list that is a text": ("signature.fields", "order", "house.signature.fields: must be a list of texts in quotes"),
    "table that is a text": ("signature", "md5", "house.signature: must be a table"),
    "body of no kind": ("body", "xml", 'house.body: must be one of "form", "json", "nested", "query", not "xml"'),
}


@pytest.mark.parametrize(("path", "value", "fault"), FAULTS.values(), ids=FAULTS)
def test_every_mistake_is_named_by_its_path(path: str, value: object, fault: str) -> None:
    """The fault says where, what, and what would work."""
    with pytest.raises(ConfigError) as refused:
        parse_adapter("house", changed(path, value))
    assert fault in refused.value.faults


def test_all_mistakes_are_told_together() -> None:
    """One start, one list."""
    table = changed("signature.digest", "sha3") | {"body": "xml", "colour": "blue"}
    with pytest.raises(ConfigError) as refused:
        parse_adapter("house", table, path="sources.house")
    assert [fault.partition(": ")[0] for fault in refused.value.faults] == [
        "sources.house.signature.digest",
        "sources.house.body",
        "sources.house.colour",
    ]


def test_a_source_may_narrow_the_patterns_of_a_preset() -> None:
    """Only patterns change, only of words that the preset knows."""
    faults: list[str] = []
    narrowed = with_patterns(
        preset(), Section({"orderid": "sh-[0-9a-f]{22}", "oderid": "x"}, "sources.crossing.patterns", faults)
    )
    assert narrowed.patterns["orderid"].pattern == "sh-[0-9a-f]{22}"
    assert narrowed.patterns["amount"] == preset().patterns["amount"]
    assert faults == ['sources.crossing.patterns.oderid: is not known; did you mean "orderid"?']


def changed(path: str, value: object) -> dict[str, Any]:
    """The example table with one value changed, or taken out for None."""
    table = copy.deepcopy(HOUSE)
    *parents, last = path.split(".")
    inner = table
    for parent in parents:
        inner = inner.setdefault(parent, {})
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return table
