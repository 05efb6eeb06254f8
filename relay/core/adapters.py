"""Own what an adapter says: how one provider's callbacks are shaped and signed, and what their fields are called with us."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from relay.core import amounts
from relay.core.bodies import BODIES, NUMBERS, PATH
from relay.core.callbacks import Status
from relay.core.calls import MAPPED, Call, parse_calls, parse_query
from relay.core.schemes import parse_scheme, separates
from relay.core.sections import Section
from relay.core.signatures import PUBLIC_KEYED, Scheme
from relay.errors import ConfigError

WORDS = ("orderid", "user_ref", "amount", "appid", "occurred_at", "status", "provider_order_id", "tx_hash")
# Whoever could change one of these under a signature could move money.
MUST_BE_SIGNED = ("orderid", "user_ref", "amount", "status")
# What a source that brings its own adapter writes into its section, beside its own keys and `ack`.
KEYS = (
    "body",
    "numbers",
    "amount",
    "status",
    "statuses",
    "fields",
    "other_fields",
    "unknown_fields",
    "signature",
    "template",
    "create",
    "query",
)
# Which of these a source that takes a preset may write in place of the preset's.
CALLS = ("create", "query")
NEEDED = ("always", "succeeded", "never")
TIMES = ("unix", "unix-ms", "rfc3339")
COUNTS = ("total", "increment")
CHECKS = ("equal", "contains", "status", "2xx")
# What a template's text may name in braces, beside our words: the order's address, and the moment of sending.
REFERENCES = (*WORDS, "address", "now", "now_ms")
REFERENCE = re.compile(r"\{([a-z_]+)\}")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_ALWAYS = ("orderid", "appid", "status")


@dataclass(frozen=True, slots=True)
class Ack:
    """What the provider takes for "received".

    `check` tells how it looks at an answer: status and body `equal`, the
    body `contains` ours, only the `status`, or any `2xx`.
    """

    status: int = 200
    body: str = "success"
    content_type: str = "text/plain"
    check: str = "equal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One provider's callbacks, declared.

    `names` gives the provider's name for each word of ours (WORDS);
    `patterns` has one for every field of the body but the signature, by the
    provider's name: these fields must all be there but the `optional` ones,
    and no other unless `ignores_unknown`. `needed_to_credit` are optional
    fields that a callback of money must have all the same.
    `statuses` maps the provider's status to ours; `status` is the constant of
    a provider that sends none. `unit_micros` is the smallest difference the
    amount can express; `amount_form` tells whether it counts those units
    ("integer") or is a decimal number of USDT ("decimal").
    `signature_names_fields`: the signature covers every field we read, so
    that it belongs to one set of them. `amount_counts` tells whether an
    amount is what the order received so far ("total") or this payment's
    alone ("increment"); `query` is the call that asks for an order's status,
    `creates` those that make one, by kind.
    `template` has what a body of this shape needs beside our words: constants,
    and texts with `{references}` (REFERENCES). `written_as_number` are
    the fields that are JSON numbers in it.
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
    query: Call | None = None
    creates: Mapping[str, Call] = field(default_factory=dict)
    numbers: str = "raw"
    time_form: str = "unix"
    optional: frozenset[str] = frozenset()
    needed_to_credit: frozenset[str] = frozenset()
    ignores_unknown: bool = False
    template: Mapping[str, str | int] = field(default_factory=dict)
    written_as_number: frozenset[str] = frozenset()


def parse_adapter(name: str, table: Mapping[str, object], *, path: str = "") -> Adapter:
    """Return the adapter that a TOML table declares; `path` is where it stands, for the faults.

    Raises ConfigError with every fault of the table, each under its path.
    """
    faults: list[str] = []
    section = Section(table, path or name, faults)
    scheme = parse_scheme(section.section("signature"))
    fields = _Fields(section)
    amount_form, unit_micros, counts = _amount(section.section("amount"))
    adapter = Adapter(
        name=name,
        body=section.choice("body", BODIES),
        numbers=section.choice("numbers", NUMBERS, "raw"),
        scheme=scheme,
        names=fields.names,
        patterns=fields.patterns,
        optional=frozenset(name for name, needed in fields.needed.items() if needed != "always"),
        needed_to_credit=frozenset(name for name, needed in fields.needed.items() if needed == "succeeded"),
        ignores_unknown=section.choice("unknown_fields", ("refuse", "ignore"), "refuse") == "ignore",
        written_as_number=frozenset(fields.numbers),
        time_form=fields.time_form,
        statuses=_statuses(section.section("statuses")),
        status=Status(section.choice("status", MAPPED)) if "status" in section else None,
        amount_form=amount_form,
        amount_counts=counts,
        unit_micros=unit_micros,
        ack=parse_ack(section.section("ack")),
        signature_names_fields=all(scheme.signs(theirs) for theirs in fields.names.values()),
        template=_template(section.section("template")),
    )
    adapter = _with_calls(adapter, section)
    section.close()
    _judge(adapter, section)
    _judge_shape(adapter, section)
    if faults:
        raise ConfigError(faults)
    return adapter


def _with_calls(adapter: Adapter, section: Section) -> Adapter:
    form, unit = adapter.amount_form, adapter.unit_micros
    creates = parse_calls(section.section("create"), amount_form=form, unit_micros=unit)
    if "query" not in section:
        return replace(adapter, creates=creates)
    query = parse_query(section.section("query"), amount_form=form, unit_micros=unit, statuses=adapter.statuses)
    return replace(adapter, creates=creates, query=query)


def parse_ack(section: Section, default: Ack = Ack()) -> Ack:
    """Return the acknowledgement that a table declares, what it leaves out taken from `default`."""
    ack = Ack(
        status=section.whole("status", default.status, least=200, most=299),
        body=section.text("body", default.body),
        content_type=section.text("content_type", default.content_type),
        check=section.choice("check", CHECKS, default.check),
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


class _Fields:
    """The tables `fields` and `other_fields`, read: names by our words, everything else by the provider's names."""

    def __init__(self, adapter: Section) -> None:
        self.names: dict[str, str] = {}
        self.patterns: dict[str, re.Pattern[str]] = {}
        self.needed: dict[str, str] = {}
        self.numbers: set[str] = set()
        self.time_form = "unix"
        fields, others = adapter.section("fields"), adapter.section("other_fields")
        self._read_words(fields)
        for name in others:
            if isinstance(others.value(name), str):
                self.patterns[name] = _pattern(others, name)
            else:
                self._read(others.section(name), name)
        for name in (*self.names.values(), *others):
            if not all((_NAME.fullmatch(part) or PATH.fullmatch(part)) for part in name.split(".")):
                fields.fault(name, "must be plain letters, digits, _ . -")
        if len(self.patterns) != len(self.names) + len(list(others)):
            fields.fault("name", "two fields have the same name")

    def _read_words(self, fields: Section) -> None:
        for word in WORDS:
            if word in fields:
                one = fields.section(word)
                self.names[word] = one.text("name", word)
                if word == "occurred_at":
                    self.time_form = one.choice("form", TIMES, "unix")
                self._read(one, self.names[word])
                if word in _ALWAYS and self.needed[self.names[word]] != "always":
                    one.fault("needed", 'must be "always" for this word')
        fields.close()

    def _read(self, one: Section, name: str) -> None:
        self.patterns[name] = _pattern(one, "pattern")
        self.needed[name] = one.choice("needed", NEEDED, "always")
        if one.choice("written_as", ("text", "number"), "text") == "number":
            self.numbers.add(name)
        one.close()


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


def _amount(section: Section) -> tuple[str, int, str]:
    form = section.choice("form", ("integer", "decimal"))
    counts = section.choice("counts", COUNTS, "total")
    unit = section.text("unit", "0.000001")
    section.close()
    try:
        micros = amounts.parse_usdt(unit)
    except ValueError as error:
        section.fault("unit", str(error))
        return form, 1, counts
    if not 1 <= micros <= amounts.MICROS:
        section.fault("unit", "must be from 0.000001 to 1 USDT")
    return form, micros, counts


def _statuses(section: Section) -> dict[str, Status]:
    return {theirs: Status(section.choice(theirs, MAPPED)) for theirs in section}


def _template(section: Section) -> dict[str, str | int]:
    constants: dict[str, str | int] = {}
    for path in section:
        value = section.value(path)
        if isinstance(value, str | int):
            constants[path] = value
        else:
            section.fault(path, "must be a text, a whole number or a truth value")
        unknown = [word for word in REFERENCE.findall(str(value)) if word not in REFERENCES]
        if unknown:
            section.fault(path, f"{{{unknown[0]}}} is not known; there are {', '.join(REFERENCES)}")
    return constants


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
    amount = adapter.names.get("amount")
    if amount in adapter.optional - adapter.needed_to_credit:
        section.fault("fields.amount.needed", 'must be "always" or "succeeded": nobody is credited with nothing')
    calls = [*adapter.creates.values(), *filter(None, [adapter.query])]
    if adapter.scheme.digest in PUBLIC_KEYED and any(call.signature for call in calls):
        section.fault(
            "signature.digest", f'"{adapter.scheme.digest}" cannot sign our calls: only the provider can sign'
        )


def _judge_shape(adapter: Adapter, section: Section) -> None:
    """What may be left out or added must not be able to change the meaning of what is signed."""
    if not separates(adapter.scheme):
        if adapter.optional:
            section.fault("fields", 'must all be there where nothing separates the signed pairs; drop "needed"')
        if adapter.ignores_unknown:
            section.fault("unknown_fields", 'must be "refuse" where nothing separates the signed pairs')
    if adapter.body == "nested" and adapter.scheme.envelope == "fields":
        section.fault("body", '"nested" needs a signature over the whole body')
    if adapter.body == "query" and adapter.scheme.envelope != "fields":
        section.fault("body", '"query" has no body to sign; use envelope "fields"')
    if adapter.numbers != "raw" and adapter.body != "json":
        section.fault("numbers", 'are spelled anew in body "json" only')
