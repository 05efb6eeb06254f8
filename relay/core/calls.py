"""Own what a call to a provider looks like: how an order is made there or asked about, declared, and filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode

from relay.core.amounts import format_micros
from relay.core.callbacks import Status
from relay.core.sections import Section
from relay.core.signatures import Scheme, sign

# What orders are made as: one that a user pays at the provider, one whose address is watched, one to an address of the provider's.
KINDS = ("recharge", "monitor", "deposit")
BODIES = ("form", "json", "query")
# What a template may name. `secret` is the source's first; `account.…` comes from the source's table `account`.
WORDS = (
    "orderid",
    "provider_order_id",
    "user_ref",
    "amount",
    "address",
    "chain",
    "callback_url",
    "expires_at",
    "appid",
    "now",
    "secret",
)
# What an answer may tell, by a path into its JSON.
ANSWERS = ("orderid", "provider_order_id", "address", "amount", "status", "tx_hash", "occurred_at")

# What a provider's status may be mapped to; "unknown" is for what is not mapped.
MAPPED = tuple(status for status in Status if status is not Status.UNKNOWN)

_REFERENCE = re.compile(r"\{([a-z_]+(?:\.[a-z0-9_]+)?)(\?)?\}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, declared.

    `path`, `fields` and `headers` are templates: `{word}` must have a value,
    a field whose `{word?}` has none is left out. `body` "query" puts the
    fields behind the path. `signature` names the field that bears the
    adapter's own signature over all others, "" for none. An answer is a
    success when the value at the path `ok` is one of `ok_values`, and, without
    `ok`, when it bears no text at the path `error`; an error that `absent`
    names, as HTTP 404 does, says that the provider has no such order.
    `answers` gives the path of each word it may tell (ANSWERS); with
    `listed`, the path of a list ("." for the whole answer), it begins at that
    list's one item, and an empty list is no such order.
    """

    method: str
    path: str
    body: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]
    signature: str
    amount_form: str
    unit_micros: int
    ok: str
    ok_values: frozenset[str]
    error: str
    absent: frozenset[str]
    listed: str
    answers: Mapping[str, str]
    statuses: Mapping[str, Status]

    def names(self, *, optional: bool = True) -> frozenset[str]:
        """Return the words that its templates name; without `optional` those that must have a value."""
        texts = (self.path, *self.fields.values(), *self.headers.values())
        return frozenset(word for text in texts for word, mark in _REFERENCE.findall(text) if optional or not mark)

    def missing(self, given: Collection[str]) -> list[str]:
        """Return the words of the source's own, `appid` and `account.…`, that must have a value and are not given."""
        needed = self.names(optional=False)
        return sorted(word for word in needed if (word == "appid" or word[:8] == "account.") and word not in given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request that is ready to leave. What it says is not for a log: it may bear a key."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def build(call: Call, scheme: Scheme, base_url: str, words: Mapping[str, str]) -> Outgoing:
    """Fill a call in; ValueError for a word that must have a value and has none.

    `words` are those of WORDS, and `account.…`; an empty one has no value.
    """
    missing = sorted(word for word in call.names(optional=False) if not words.get(word))
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    fields = {name: _filled(text, words) for name, text in call.fields.items() if _has_value(text, words)}
    if call.signature:
        own = replace(scheme, name=call.signature, location="body", envelope="fields", fields=frozenset())
        fields[call.signature] = sign(own, words["secret"], fields)
    headers = {name: _filled(text, words) for name, text in call.headers.items() if _has_value(text, words)}
    # A slash or a question mark in an order's number must not lead to another path.
    url = base_url + _filled(call.path, {word: quote(value, safe="") for word, value in words.items()})
    return _outgoing(call, url, headers, fields)


def spell_amount(call: Call, micros: int) -> str:
    """Return an amount as the provider writes it; ValueError for one that its unit cannot express."""
    if micros % call.unit_micros:
        raise ValueError(f"has more places than the provider takes: its unit is {format_micros(call.unit_micros)} USDT")
    if call.amount_form == "integer":
        return str(micros // call.unit_micros)
    whole, _, fraction = format_micros(micros).partition(".")
    places = fraction.rstrip("0")
    return f"{whole}.{places}" if places else whole


def parse_calls(section: Section, *, amount_form: str, unit_micros: int) -> dict[str, Call]:
    """Return the calls that make orders, by kind; what they leave out of `amount` is the adapter's own."""
    calls = {}
    for kind in section:
        if kind not in KINDS:
            section.fault(kind, f"is not known; an order is made as {', '.join(KINDS)}")
        else:
            one = section.section(kind)
            calls[kind] = _call(one, amount_form, unit_micros, {})
            if not (calls[kind].ok or "provider_order_id" in calls[kind].answers):
                one.fault("ok", "or answers.provider_order_id is needed: nothing else tells a success")
    return calls


def parse_query(section: Section, *, amount_form: str, unit_micros: int, statuses: Mapping[str, Status]) -> Call:
    """Return the call that asks about an order; its statuses are the adapter's own when it names none."""
    call = _call(section, amount_form, unit_micros, statuses)
    if "status" not in call.answers:
        section.fault("answers.status", "is missing: it is what the call asks for")
    if not call.statuses:
        section.fault("statuses", "is missing: it maps the provider's words to ours")
    return call


def _call(section: Section, amount_form: str, unit_micros: int, statuses: Mapping[str, Status]) -> Call:
    amount, ok = section.section("amount"), section.section("ok")
    named = section.section("statuses")
    call = Call(
        method=section.choice("method", ("POST", "GET"), "POST"),
        path=section.text("path"),
        body=section.choice("body", BODIES, "form"),
        fields=section.section("fields").mapping(),
        headers=section.section("headers").mapping(),
        signature=section.text("signature", ""),
        amount_form=amount.choice("form", ("integer", "decimal"), amount_form),
        unit_micros=amount.whole("unit_micros", unit_micros, least=1, most=1_000_000),
        ok=ok.text("path", ""),
        ok_values=frozenset(ok.texts("values")),
        error=section.text("error", ""),
        absent=frozenset(section.texts("absent")),
        listed=section.text("listed", ""),
        answers=section.section("answers").mapping(),
        statuses={word: Status(named.choice(word, MAPPED)) for word in named} or statuses,
    )
    amount.close()
    ok.close()
    _judge(call, section)
    section.close()
    return call


def _judge(call: Call, section: Section) -> None:
    if not call.path.startswith("/"):
        section.fault("path", "must begin with /")
    if (call.method == "GET") != (call.body == "query"):
        section.fault("body", 'a GET has its fields in the "query", a POST in a "form" or "json"')
    if bool(call.ok) != bool(call.ok_values):
        section.fault("ok", "needs a path and the values there that mean success")
    for word in sorted(call.names()):
        if word not in WORDS and not word.startswith("account."):
            section.fault("fields", f"{{{word}}} is not known; there are {', '.join(WORDS)} and account.…")
    for word, path in call.answers.items():
        if word not in ANSWERS:
            section.fault(f"answers.{word}", f"is not known; there are {', '.join(ANSWERS)}")
        if not _PATH.fullmatch(path):
            section.fault(f"answers.{word}", "must be a path such as data.0.status")


def _has_value(text: str, words: Mapping[str, str]) -> bool:
    return all(words.get(word) for word, _ in _REFERENCE.findall(text))


def _filled(text: str, words: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: words.get(found[1], ""), text)


def _outgoing(call: Call, url: str, headers: dict[str, str], fields: Mapping[str, str]) -> Outgoing:
    if call.body == "query":
        return Outgoing(
            method=call.method, url=f"{url}?{urlencode(fields)}" if fields else url, headers=headers, body=b""
        )
    if call.body == "json":
        kind, body = "application/json", json.dumps(fields, ensure_ascii=False).encode()
    else:
        kind, body = "application/x-www-form-urlencoded", urlencode(fields).encode()
    return Outgoing(method=call.method, url=url, headers={"Content-Type": kind, **headers}, body=body)
