"""Own the reading of how a provider signs: the table `signature` of an adapter becomes a Scheme."""

from __future__ import annotations

import re
from dataclasses import fields

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
    PLACEHOLDER,
    PLACES,
    PUBLIC_KEYED,
    Scheme,
)

_DAY_S = 86_400
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NAME_OR_EQUALS = re.compile(r"[A-Za-z0-9_.=-]", re.ASCII)


def parse_scheme(section: Section) -> Scheme:
    """Return the scheme that a table declares; what is wrong is kept in the section."""
    scheme = Scheme(
        name=section.text("name"),
        location=section.choice("location", LOCATIONS, "body"),
        envelope=section.choice("envelope", ENVELOPES, "fields"),
        timestamp=section.text("timestamp", ""),
        window_s=section.whole("window_s", 0, most=_DAY_S),
        text=section.text("text", ""),
        part=section.text("part", ""),
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
    _judge_fields(scheme, section)
    _judge_envelope(scheme, section)
    return scheme


def separates(scheme: Scheme) -> bool:
    """Tell whether the signed text of other fields, or of more of them, can never be the same."""
    return scheme.envelope != "fields" or (scheme.pair == "k=v" and bool(scheme.joiner))


def declared(scheme: Scheme) -> dict[str, str | int | list[str]]:
    """Return the table that declares a scheme: its keys that are not at their defaults."""
    table: dict[str, str | int | list[str]] = {}
    for one in fields(Scheme):
        value = getattr(scheme, one.name)
        if value != one.default:
            table[one.name] = sorted(value) if isinstance(value, frozenset) else value
    return table


def is_sound(scheme: Scheme) -> bool:
    """Tell whether a scheme that somebody found could be declared."""
    section = Section({}, "", [])
    _judge_fields(scheme, section)
    _judge_envelope(scheme, section)
    return not section.faults


def _judge_fields(scheme: Scheme, section: Section) -> None:
    if not _NAME.fullmatch(scheme.name):
        section.fault("name", "must be a field or header name of plain letters, digits, _ . -")
    if scheme.digest in PUBLIC_KEYED:
        if scheme.place != "key":
            section.fault("place", f'"{scheme.digest}" has no secret that could be in the text')
    elif scheme.place == "key" and scheme.digest not in HMACS:
        section.fault("place", f'"{scheme.digest}" without a key needs the secret in the text: "prefix" or "suffix"')
    if scheme.pair != "v" and _NAME_OR_EQUALS.search(scheme.joiner):
        section.fault("joiner", "must not be made of what names are made of, nor contain =")
    if scheme.order != "name" and not (scheme.pair == "k=v" and scheme.joiner):
        # Otherwise one signed text could be read as different fields, and no pattern could tell.
        section.fault("order", 'only pairs "k=v" with a joiner may be in another order than by name')


def _judge_envelope(scheme: Scheme, section: Section) -> None:
    if scheme.envelope in ("body", "timestamp.body", "text") and scheme.location == "body":
        section.fault("location", "a signature over the whole body cannot stand inside it")
    if scheme.envelope != "text" and (scheme.envelope == "timestamp.body") != bool(scheme.timestamp):
        section.fault(
            "timestamp", 'names the header whose text is signed by envelope "timestamp.body" or "text", and by no other'
        )
    if scheme.window_s and not scheme.timestamp:
        section.fault("window_s", 'needs "timestamp", the header it judges')
    if (scheme.envelope == "text") != bool(scheme.text):
        section.fault("text", 'is needed by envelope "text", and by no other')
    if scheme.text and "{body}" not in scheme.text:
        section.fault("text", "must contain {body}: else the fields are not signed")
    if set("{}") & set(PLACEHOLDER.sub("", scheme.text)):
        section.fault("text", "has braces around something else than a placeholder")
    if scheme.part and scheme.location != "header":
        section.fault("part", "belongs to a signature in a header")
