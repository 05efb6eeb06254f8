"""Own the question which scheme made a signature: every preset and every common combination, tried on one captured request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import islice, product
from urllib.parse import quote, quote_plus

from relay.core.adapters import Adapter
from relay.core.bodies import read_flat, read_form
from relay.core.canonical import SPELLINGS
from relay.core.parsing import RawRequest, read_callback
from relay.core.schemes import is_sound
from relay.core.signatures import HMACS, Scheme, Secret, sign
from relay.core.sources import Source
from relay.core.traces import Trace, timestamps, traces
from relay.errors import CallbackRejected

PAIRS = ("k=v", "kv", "v")
JOINERS = ("&", "", "|", ",")
ORDERS = ("name", "pair", "received")
EMPTIES = ("keep", "drop")
# Where small gateways put the secret, the usual first.
PLACES = (("suffix", ""), ("suffix", "&key="), ("prefix", ""), ("suffix", "&"), ("suffix", "key="), ("prefix", "&"))
# A request has one signature, and the likely names come first. A stranger's with fifty texts like one took a page 20 s.
MOST_TRACES = 8
# Fields that stand beside a signature and are often not signed.
BESIDE = frozenset({"sign_type", "signType", "sign_method", "signMethod"})
# What one request cannot tell apart: the fields of a scheme that another match may have otherwise.
_CHOICES = ("empty", "order", "pair", "joiner", "place", "place_text", "envelope", "fields")


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset whose signature holds; `reason` says why its fields do not fit, "" when they do."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Match:
    """A scheme that makes the signature.

    `numbers` is how JSON numbers were spelled for it. `undecided` has the
    keys that could be otherwise as well, `nearest` the preset that is most
    like it and how that differs.
    """

    scheme: Scheme
    numbers: str
    undecided: tuple[str, ...]
    nearest: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: texts that look like signatures, presets and schemes that hold, and hints where nothing does."""

    traces: tuple[Trace, ...]
    presets: tuple[Preset, ...]
    matches: tuple[Match, ...]
    hints: tuple[str, ...]


def probe(request: RawRequest, key: str, presets: Mapping[str, Adapter], *, now: datetime, url: str = "") -> Report:
    """Try every preset and every combination; `url` is where the provider called, for schemes that sign it."""
    readings = readings_of(request)
    found = tuple(islice(traces(request, readings.get("raw", {})), MOST_TRACES))
    held = tuple(filter(None, (held_by(adapter, request, key, now, url) for adapter in presets.values())))
    matches = tuple(filter(None, (_match(trace, request, readings, key, presets) for trace in found)))
    hints = () if held or matches else tuple(_hints(found, request, readings, key, presets))
    return Report(found, held, matches, hints)


def readings_of(request: RawRequest) -> dict[str, dict[str, str]]:
    """Return the fields, for each way to spell numbers; none for a body that is nested or broken."""
    try:
        if request.body.lstrip().startswith(b"{"):
            both = {numbers: read_flat(request.body, numbers) for numbers in ("raw", "go")}
            return both if both["raw"] != both["go"] else {"raw": both["raw"]}
        return {"raw": read_form(request.body or request.query.encode())}
    except CallbackRejected:
        return {}


def held_by(adapter: Adapter, request: RawRequest, key: str, now: datetime, url: str) -> Preset | None:
    """Return the preset whose signature holds, None where it does not."""
    source = Source(
        name="probe",
        namespace="probe",
        adapter=adapter,
        secrets=(Secret.of(key),),
        appid=readings_of(request).get("raw", {}).get(adapter.names.get("appid", "")),
    )
    try:
        read_callback(source, request, now=now, url=url, fresh=False)
    except CallbackRejected as refused:
        no_sign = ("bad_signature", "malformed", "duplicate_field", "unsupported_media_type")
        return None if refused.code in no_sign else Preset(adapter.name, refused.detail)
    return Preset(adapter.name, "")


def _match(
    trace: Trace,
    request: RawRequest,
    readings: Mapping[str, Mapping[str, str]],
    key: str,
    presets: Mapping[str, Adapter],
) -> Match | None:
    every = list(_holding(trace, request, readings, key))
    if not every:
        return None
    scheme, numbers = every[0]
    undecided = [name for name in _CHOICES if any(_differ_only(scheme, other, name) for other, _ in every)]
    if {other for other, _ in every if other == scheme} and len({spelled for _, spelled in every}) > 1:
        undecided.append("numbers")
    return Match(scheme, numbers, tuple(undecided), _nearest(scheme, presets))


def _holding(
    trace: Trace, request: RawRequest, readings: Mapping[str, Mapping[str, str]], key: str, *, sound: bool = True
) -> Iterator[tuple[Scheme, str]]:
    for numbers, given in readings.items() or [("raw", {})]:
        unsigned = {name: value for name, value in given.items() if trace.location == "header" or name != trace.name}
        for scheme in _schemes(trace, request, unsigned):
            if is_sound(scheme) is sound and _made(scheme, request, unsigned, key) == trace.value:
                yield scheme, numbers


def _made(scheme: Scheme, request: RawRequest, given: Mapping[str, str], key: str) -> str:
    timestamp = request.header(scheme.timestamp) or "" if scheme.timestamp else ""
    try:
        return sign(scheme, key, given, body=request.body, timestamp=timestamp)
    except CallbackRejected:
        return ""


def _schemes(trace: Trace, request: RawRequest, given: Mapping[str, str]) -> Iterator[Scheme]:
    for digest in trace.digests:
        base = Scheme(
            name=trace.name, location=trace.location, digest=digest, encoding=trace.encoding, label=trace.label
        )
        for place, text in [("key", ""), *PLACES] if digest in HMACS else PLACES:
            placed = replace(base, place=place, place_text=text)
            # A signature in a header is mostly one over the bytes.
            yield from _over_bodies(placed, request)
            yield from _over_fields(placed, given)


def _over_fields(placed: Scheme, given: Mapping[str, str]) -> Iterator[Scheme]:
    if not given:
        return
    subsets = [frozenset[str]()]
    if BESIDE & given.keys():
        subsets.append(frozenset(given.keys() - BESIDE))
    for names, pair, joiner, order, empty in product(subsets, PAIRS, JOINERS, ORDERS, EMPTIES):
        yield replace(placed, fields=names, pair=pair, joiner=joiner, order=order, empty=empty)


def _over_bodies(placed: Scheme, request: RawRequest) -> Iterator[Scheme]:
    if placed.location == "header":
        yield replace(placed, envelope="body")
        for header in timestamps(request):
            yield replace(placed, envelope="timestamp.body", timestamp=header)
    if request.body.lstrip().startswith(b"{"):
        yield from (replace(placed, envelope=spelling) for spelling in SPELLINGS)


def _differ_only(one: Scheme, other: Scheme, name: str) -> bool:
    return other != one and replace(other, **{name: getattr(one, name)}) == one


def _nearest(scheme: Scheme, presets: Mapping[str, Adapter]) -> str:
    """Name the preset with the fewest keys of another value, and those keys."""
    differing = {name: list(_differences(scheme, adapter.scheme)) for name, adapter in presets.items()}
    name = min(differing, key=lambda name: len(differing[name]), default="")
    return f"{name}: {'; '.join(differing[name])}" if name and differing[name] else name


def _differences(scheme: Scheme, preset: Scheme) -> Iterator[str]:
    for one in fields(Scheme):
        mine, theirs = getattr(scheme, one.name), getattr(preset, one.name)
        if mine != theirs and one.name != "window_s":
            yield f"{one.name} is {_plain(mine)}, the preset's is {_plain(theirs)}"


def _plain(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(sorted(value) if isinstance(value, frozenset) else value)


def _hints(
    found: Iterable[Trace],
    request: RawRequest,
    readings: Mapping[str, Mapping[str, str]],
    key: str,
    presets: Mapping[str, Adapter],
) -> Iterator[str]:
    """Say what would have matched, and what nearly did."""
    found = list(found)
    if not found:
        yield "nothing in this request looks like a signature: hex digits or base64 of a known length"
    for changed, text in _other_keys(key):
        if any(True for trace in found for _ in _holding(trace, request, readings, changed)):
            yield text
    encoded = {f"{how.__name__}d": _encoded(readings, how) for how in (quote, quote_plus)}
    if any(True for trace in found for one in encoded.values() for _ in _holding(trace, request, one, key)):
        yield "the values are signed as they are escaped in a form, which no adapter can say: ask the provider"
    for trace in found:
        unsound = next((scheme for scheme, _ in _holding(trace, request, readings, key, sound=False)), None)
        if unsound is not None:
            how = f'pair "{unsound.pair}", joiner "{unsound.joiner}", order "{unsound.order}"'
            yield f"{trace.name} is made by {how}, which is not taken: the signed text could be read as other fields"
        yield from _case_hints(trace, request, readings, key)
    names = set(readings.get("raw", {}))
    for adapter in presets.values():
        needed = adapter.patterns.keys() - adapter.optional
        if names and needed <= names <= {*adapter.patterns, adapter.scheme.name}:
            yield f"the fields are those of {adapter.name}, so the key may be another account's or an old one"
    if found and not readings:
        yield "the body is neither a flat form nor flat JSON, so only signatures over all of it were tried"
    yield f"all {len(presets)} presets and the common combinations were tried: is it the key that signs callbacks?"


def _case_hints(
    trace: Trace, request: RawRequest, readings: Mapping[str, Mapping[str, str]], key: str
) -> Iterator[str]:
    for encoding in {"hex-lower", "hex-upper"} - {trace.encoding} if trace.encoding != "base64" else ():
        value = trace.value.lower() if encoding == "hex-lower" else trace.value.upper()
        changed = replace(trace, encoding=encoding, value=value)
        if value != trace.value and any(True for _ in _holding(changed, request, readings, key)):
            yield f"{trace.name} would match but for the case of its digits: somebody changed it on the way"


def _other_keys(key: str) -> Iterator[tuple[str, str]]:
    if key.strip() != key:
        yield key.strip(), "the key matches without the white space around it"
    yield f"{key}\n", "the key matches with a line end behind it: the provider's copy has one"
    if key.lower() != key:
        yield key.lower(), "the key matches in lower case"
    if key.upper() != key:
        yield key.upper(), "the key matches in upper case"


def _encoded(readings: Mapping[str, Mapping[str, str]], how: object) -> dict[str, dict[str, str]]:
    write = quote if how is quote else quote_plus
    return {
        spelled: {name: write(value, safe="") for name, value in given.items()} for spelled, given in readings.items()
    }
