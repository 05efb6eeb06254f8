"""Own how a provider's answer is read: what became of an order that was asked for, and what is said of one that was asked about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.core import amounts
from relay.core.calls import Call
from relay.core.facts import ProviderFact
from relay.core.json_text import is_too_deep

LONGEST = 256
# A server that is busy or broken, or a proxy before it, says nothing about the order.
_UNSURE = frozenset({408, 409, 425})
_TOO_MANY, _NOT_FOUND = 429, 404


@dataclass(frozen=True, slots=True)
class Made:
    """The provider made the order; `told` has what it said of it (calls.ANSWERS), as it spelled it."""

    told: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider did not make the order; `error` is its own text."""

    error: str


@dataclass(frozen=True, slots=True)
class Busy:
    """The provider turned the request away unread, for there were too many."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider has no such order."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody can tell what the answer means for the order; `reason` is ours."""

    reason: str


def read_made(call: Call, orderid: str, status: int, body: bytes) -> Made | Refused | Busy | Unclear:
    """Return what an answer says of an order that was asked for; whatever is not plain is Unclear."""
    if status == _TOO_MANY:
        return Busy()
    if status in _UNSURE or not (200 <= status < 300 or 400 <= status < 500):
        return Unclear(f"HTTP {status}")
    value = _json(body)
    error = _text(value, call.error)
    if status >= 400:
        return Refused(error or f"HTTP {status}")
    if call.ok:
        said = _text(value, call.ok)
        if said is None:
            return Unclear("the answer does not say whether it worked")
        if said not in call.ok_values:
            return Refused(error or f"{call.ok} is {said}")
    elif error:
        return Refused(error)
    told = _told(call, value)
    # Without a word for success only the provider's own number shows that something was made.
    if told is None or not (call.ok or told.get("provider_order_id")):
        return Unclear("the answer cannot be read")
    if told.get("orderid", orderid) != orderid:
        return Unclear("the answer is about another order")
    return Made(told)


def read_fact(
    call: Call, *, source: str, namespace: str, orderid: str, status: int, body: bytes
) -> ProviderFact | Absent | Busy | Unclear:
    """Return what an answer says of an order that was asked about."""
    if status in (_TOO_MANY, _NOT_FOUND):
        return Busy() if status == _TOO_MANY else Absent()
    value = _json(body)
    error = _text(value, call.error)
    # Some say so with a status of success, others with one of failure, so the text counts before the status.
    if error is not None and error in call.absent:
        return Absent()
    if not 200 <= status < 300:
        return Unclear(f"HTTP {status}")
    if call.ok and _text(value, call.ok) not in call.ok_values:
        return Unclear(error or "the answer is no success")
    item = _item(call, value)
    if isinstance(item, Absent | Unclear):
        return item
    told = _told(call, item)
    if told is None or not told.get("status"):
        return Unclear("the answer names no status")
    if told.get("orderid", orderid) != orderid:
        return Unclear("the answer is about another order")
    try:
        return _fact(call, told, source=source, namespace=namespace, orderid=orderid)
    except ValueError as error:
        return Unclear(f"amount {error}")


def _item(call: Call, value: object) -> object:
    """The order in the answer: all of it, or the one item of its list."""
    if not call.listed:
        return value
    items = value if call.listed == "." else _at(value, call.listed)
    if not isinstance(items, list) or len(items) > 1:
        return Unclear("the answer does not list one order")
    return items[0] if items else Absent()


def read_amount(raw: str, *, form: str, unit_micros: int) -> int:
    """Return the micros of an amount as a provider writes it; ValueError for what is none."""
    return amounts.parse_units(raw, unit_micros=unit_micros) if form == "integer" else amounts.parse_decimal(raw)


def read_moment(raw: str) -> datetime | None:
    """Return a time in Unix seconds or RFC 3339; None for one whose zone nobody knows."""
    try:
        if raw.isascii() and raw.isdigit():
            return datetime.fromtimestamp(int(raw), UTC)
        moment = datetime.fromisoformat(raw)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def _fact(call: Call, told: Mapping[str, str], *, source: str, namespace: str, orderid: str) -> ProviderFact:
    raw = told.get("amount")
    return ProviderFact(
        source=source,
        namespace=namespace,
        orderid=orderid,
        via="query",
        raw_status=told["status"],
        status=call.statuses.get(told["status"]),
        amount_micros=None if raw is None else read_amount(raw, form=call.amount_form, unit_micros=call.unit_micros),
        amount_raw=raw,
        unit_micros=call.unit_micros,
        provider_order_id=told.get("provider_order_id"),
        tx_hash=told.get("tx_hash"),
        occurred_at=read_moment(told["occurred_at"]) if "occurred_at" in told else None,
    )


def _told(call: Call, value: object) -> dict[str, str] | None:
    """The words that are there; None for an answer that is no JSON, or holds what no order is called."""
    if not isinstance(value, dict | list):
        return None
    found = {word: _text(value, path) for word, path in call.answers.items()}
    told = {word: text for word, text in found.items() if text}
    return told if all(len(text) <= LONGEST for text in told.values()) else None


def _json(body: bytes) -> object:
    """The JSON value with its numbers as they were written; None for what is no JSON."""
    try:
        text = body.decode()
        return None if is_too_deep(text) else json.loads(text, parse_float=str, parse_int=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(_: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


def _text(value: object, path: str) -> str | None:
    """Return the text at a path; None for nothing, for null, and for what is not one value."""
    found = _at(value, path) if path else None
    if isinstance(found, bool):
        return "true" if found else "false"
    return _storable(found) if isinstance(found, str) else None


def _at(value: object, path: str) -> object:
    """Return what stands at a path; None for nothing."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _storable(text: str) -> str:
    """Without what no database holds: NUL, and the halves of characters that JSON can spell."""
    return text.encode(errors="replace").decode().replace("\0", "")
