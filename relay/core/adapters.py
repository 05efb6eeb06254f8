"""Own what an adapter says: how one provider's callbacks are shaped and signed, and what their fields are called with us."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from relay.core import amounts
from relay.core.callbacks import Status
from relay.core.sections import Section
from relay.core.signatures import (
    DIGESTS,
    EMPTIES,
    ENCODINGS,
    ENVELOPES,
    HMACS,
    LOCATIONS,
    ORDERS,
    PAIRS,
    PLACES,
    Scheme,
)
from relay.errors import ConfigError

WORDS = ("orderid", "user_ref", "amount", "appid", "occurred_at", "status", "provider_order_id", "tx_hash")
# What a provider's status may be mapped to; "unknown" is for what is not mapped.
STATUSES = tuple(status for status in Status if status is not Status.UNKNOWN)
# Whoever could change one of these under a signature could move money.
MUST_BE_SIGNED = ("orderid", "user_ref", "amount", "status")
# What a source that brings its own adapter writes into its section, beside its own keys and `ack`.
KEYS = ("body", "amount", "status", "statuses", "fields", "other_fields", "signature")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NAME_OR_EQUALS = re.compile(r"[A-Za-z0-9_.=-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ack:
    """What the provider takes for "received"."""

    status: int = 200
    body: str = "success"
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One provider's callbacks, declared.

    `names` gives the provider's name for each word of ours (WORDS);
    `patterns` has one for every field of the body but the signature, by the
    provider's name: these fields must all be there, and no other.
    `statuses` maps the provider's status to ours; `status` is the constant of
    a provider that sends none. `unit_micros` is the smallest difference the
    amount can express; `amount_form` tells whether it counts those units
    ("integer") or is a decimal number of USDT ("decimal").
    `signature_names_fields`: the signature covers every field we read, so
    that it belongs to one set of them. `amount_counts` tells whether an
    amount is what the order received so far ("total") or this payment's
    alone ("increment"); `query` is the call that asks for an order's status.
    """

    name: str
    body: str
    scheme: Scheme
    names: Mapping[str, str]
    patterns: Mapping[str, re.Pattern[str]]
    statuses: Mapping[str, Status]
    status: Status | None
    amount_form: str
    unit_micros: int
    ack: Ack
    signature_names_fields: bool
    amount_counts: str = "total"
    query: object | None = None


def parse_adapter(name: str, table: Mapping[str, object], *, path: str = "") -> Adapter:
    """Return the adapter that a TOML table declares; `path` is where it stands, for the faults.

    Raises ConfigError with every fault of the table, each under its path.
    """
    faults: list[str] = []
    section = Section(table, path or name, faults)
    scheme = _scheme(section.section("signature"))
    names, patterns = _fields(section)
    amount_form, unit_micros = _amount(section.section("amount"))
    adapter = Adapter(
        name=name,
        body=section.choice("body", ("form", "json")),
        scheme=scheme,
        names=names,
        patterns=patterns,
        statuses=_statuses(section.section("statuses")),
        status=Status(section.choice("status", STATUSES)) if "status" in section else None,
        amount_form=amount_form,
        unit_micros=unit_micros,
        ack=parse_ack(section.section("ack")),
        signature_names_fields=all(scheme.signs(theirs) for theirs in names.values()),
    )
    section.close()
    _judge(adapter, section)
    if faults:
        raise ConfigError(faults)
    return adapter


def parse_ack(section: Section, default: Ack = Ack()) -> Ack:
    """Return the acknowledgement that a table declares, what it leaves out taken from `default`."""
    ack = Ack(
        status=section.whole("status", default.status, least=200, most=299),
        body=section.text("body", default.body),
        content_type=section.text("content_type", default.content_type),
    )
    section.close()
    return ack


def with_patterns(adapter: Adapter, section: Section) -> Adapter:
    """Return the adapter with a source's own, usually narrower, patterns for some of our words."""
    patterns = dict(adapter.patterns)
    for word in WORDS:
        if word in adapter.names and word in section:
            patterns[adapter.names[word]] = _pattern(section, word)
    section.close()
    return replace(adapter, patterns=patterns)


def _scheme(section: Section) -> Scheme:
    scheme = Scheme(
        name=section.text("name"),
        location=section.choice("location", LOCATIONS, "body"),
        envelope=section.choice("envelope", ENVELOPES, "fields"),
        timestamp=section.text("timestamp", ""),
        fields=frozenset(section.texts("fields")),
        empty=section.choice("empty", EMPTIES, "keep"),
        order=section.choice("order", ORDERS, "name"),
        pair=section.choice("pair", PAIRS, "k=v"),
        joiner=section.text("joiner", "&"),
        place=section.choice("place", PLACES, "key"),
        place_text=section.text("place_text", ""),
        digest=section.choice("digest", DIGESTS),
        encoding=section.choice("encoding", ENCODINGS, "hex-lower"),
        label=section.text("label", ""),
    )
    section.close()
    _judge_scheme(scheme, section)
    return scheme


def _judge_scheme(scheme: Scheme, section: Section) -> None:
    if not _NAME.fullmatch(scheme.name):
        section.fault("name", "must be a field or header name of plain letters, digits, _ . -")
    if scheme.place == "key" and scheme.digest not in HMACS:
        section.fault("place", f'"{scheme.digest}" without a key needs the secret in the text: "prefix" or "suffix"')
    if scheme.envelope != "fields" and scheme.location == "body":
        section.fault("location", "a signature over the whole body cannot stand inside it")
    if (scheme.envelope == "timestamp.body") != bool(scheme.timestamp):
        section.fault(
            "timestamp", 'names the header whose text is signed by envelope "timestamp.body", and by no other'
        )
    if scheme.pair != "v" and _NAME_OR_EQUALS.search(scheme.joiner):
        section.fault("joiner", "must not be made of what names are made of, nor contain =")
    if scheme.order != "name" and not (scheme.pair == "k=v" and scheme.joiner):
        # Otherwise one signed text could be read as different fields, and no pattern could tell.
        section.fault("order", 'only pairs "k=v" with a joiner may be in another order than by name')


def _fields(section: Section) -> tuple[dict[str, str], dict[str, re.Pattern[str]]]:
    names, patterns = {}, {}
    fields = section.section("fields")
    for word in WORDS:
        if word in fields:
            one = fields.section(word)
            names[word] = one.text("name", word)
            patterns[names[word]] = _pattern(one, "pattern")
            one.close()
    fields.close()
    others = section.section("other_fields")
    for name in others:
        patterns[name] = _pattern(others, name)
    for name in (*names.values(), *others):
        if not _NAME.fullmatch(name):
            fields.fault(name, "must be plain letters, digits, _ . -")
    if len(patterns) != len(names) + len(list(others)):
        fields.fault("name", "two fields have the same name")
    return names, patterns


def _pattern(section: Section, key: str) -> re.Pattern[str]:
    text = section.text(key)
    try:
        pattern = re.compile(text, re.ASCII)
    except re.error as error:
        section.fault(key, f"is not a regular expression: {error}")
        return re.compile("x")
    if text and pattern.fullmatch(""):
        section.fault(key, "must not match the empty text")
    return pattern


def _amount(section: Section) -> tuple[str, int]:
    form = section.choice("form", ("integer", "decimal"))
    unit = section.text("unit", "0.000001")
    section.close()
    try:
        micros = amounts.parse_usdt(unit)
    except ValueError as error:
        section.fault("unit", str(error))
        return form, 1
    if not 1 <= micros <= amounts.MICROS:
        section.fault("unit", "must be from 0.000001 to 1 USDT")
    return form, micros


def _statuses(section: Section) -> dict[str, Status]:
    return {theirs: Status(section.choice(theirs, STATUSES)) for theirs in section}


def _judge(adapter: Adapter, section: Section) -> None:
    for word in ("orderid", "amount"):
        if word not in adapter.names:
            section.fault(f"fields.{word}", "is missing")
    for word in MUST_BE_SIGNED:
        if word in adapter.names and not adapter.scheme.signs(adapter.names[word]):
            section.fault(f"fields.{word}", "must be covered by the signature")
    if (adapter.status is None) != ("status" in adapter.names) or bool(adapter.statuses) != ("status" in adapter.names):
        section.fault("status", 'give either a constant status, or fields.status and the table "statuses"')
    if adapter.scheme.location == "body" and adapter.scheme.name in adapter.patterns:
        section.fault("fields", f'"{adapter.scheme.name}" is the signature, not a field')
