"""Own the door for bytes: `read_callback` turns any request into a Callback whose signature held, or refuses it with a reason."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes

from relay.core import amounts, signatures
from relay.core.adapters import Adapter
from relay.core.boundaries import reads_one_way
from relay.core.callbacks import Callback, Status
from relay.core.sources import Source
from relay.errors import CallbackRejected

MAX_FIELDS = 50
MAX_VALUE = 256
CLOCK_TOLERANCE = timedelta(minutes=10)

_CONTENT_TYPES = {"form": "application/x-www-form-urlencoded", "json": "application/json"}
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNIX_SECONDS = re.compile(r"(?:0|[1-9][0-9]{0,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RawRequest:
    """What the provider sent, untouched. Header names may be in any case."""

    body: bytes
    content_type: str
    query: str
    headers: Mapping[str, str]

    def header(self, name: str) -> str | None:
        """Return a header by its name in any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


def read_callback(source: Source, request: RawRequest, *, now: datetime) -> Callback:
    """Verify and read a request; the signature is judged before any field is.

    Raises CallbackRejected for whatever is wrong, and nothing else, whatever
    the bytes. Its codes: unsupported_media_type (415), bad_signature and
    wrong_appid (401); malformed, duplicate_field, unknown_field,
    missing_field, bad_field and ambiguous (400), the last for a text that
    its signature would also let us read as other fields.
    """
    adapter, scheme = source.adapter, source.adapter.scheme
    _check_envelope(adapter, request)
    fields = _read_body(adapter, request.body) if scheme.envelope == "fields" else {}
    given = fields.pop(scheme.name, None) if scheme.location == "body" else request.header(scheme.name)
    timestamp = request.header(scheme.timestamp) or "" if scheme.timestamp else ""
    secret_id = signatures.verify(scheme, source.secrets, given, fields, body=request.body, timestamp=timestamp)
    fields = fields or _read_body(adapter, request.body)
    _check_fields(source, fields)
    return _callback(source, fields, signature=given, secret_id=secret_id, now=now)


def _check_envelope(adapter: Adapter, request: RawRequest) -> None:
    wanted = _CONTENT_TYPES[adapter.body]
    if request.content_type != wanted:
        kind, _, parameter = request.content_type.partition(";")
        if kind.strip().lower() != wanted or parameter.strip().lower() not in ("", "charset=utf-8", 'charset="utf-8"'):
            raise CallbackRejected(f"send {wanted}", code="unsupported_media_type", http_status=415)
    if request.header("content-encoding") is not None:
        raise CallbackRejected("send the body without Content-Encoding", code="unsupported_media_type", http_status=415)
    if request.query:
        raise CallbackRejected("query parameters are not part of a callback")


def _read_body(adapter: Adapter, body: bytes) -> dict[str, str]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise CallbackRejected("the body is not UTF-8") from None
    return _read_form(text) if adapter.body == "form" else _read_json(text)


def _read_form(text: str) -> dict[str, str]:
    """Read a form strictly: frameworks keep the first or the last of two equal names, and guess at the rest."""
    if ";" in text or "\0" in text:
        raise CallbackRejected("; and NUL do not belong into a form")
    pairs = text.split("&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise CallbackRejected(f"more than {MAX_FIELDS} fields")
    escaped = "%" in text or "+" in text
    fields: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if escaped:
            name, value = _unescape(name), _unescape(value)
        if not name or not equals or "[" in name or "]" in name:
            raise CallbackRejected("the body is not a flat form of name=value")
        if name in fields:
            raise CallbackRejected(f"{_shown(name)} is there twice", code="duplicate_field")
        fields[name] = value
    return fields


def _unescape(text: str) -> str:
    if _BROKEN_ESCAPE.search(text) or "%00" in text:
        raise CallbackRejected("the form has a broken or forbidden % escape")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise CallbackRejected("the form is not UTF-8") from None


def _read_json(text: str) -> dict[str, str]:
    try:
        members = _JSON.decode(text)
    except (ValueError, RecursionError):
        raise CallbackRejected("the body is not JSON") from None
    if not isinstance(members, dict):
        raise CallbackRejected("the body is not a JSON object")
    if len(members) > MAX_FIELDS:
        raise CallbackRejected(f"more than {MAX_FIELDS} fields")
    return {name: _text(name, value) for name, value in members.items()}


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise CallbackRejected(f"{_shown(name)} is there twice", code="duplicate_field")
        members[name] = value
    return members


def _refuse_constant(_: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


# Numbers stay the text that was sent: it is what providers sign, and a float would change it.
_JSON = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_float=str, parse_int=str, parse_constant=_refuse_constant
)


def _text(name: str, value: object) -> str:
    """Write a JSON value as providers do when they sign; null is empty."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        raise CallbackRejected(f"{_shown(name)} is nested")
    if "\0" in value:
        raise CallbackRejected(f"{_shown(name)} contains NUL")
    return value


def _check_fields(source: Source, fields: Mapping[str, str]) -> None:
    adapter = source.adapter
    if fields.keys() != adapter.patterns.keys():
        _refuse_field_set(adapter, fields)
    for name, pattern in adapter.patterns.items():
        value = fields[name]
        if not value:
            raise CallbackRejected(f"{name} is empty", code="missing_field")
        if len(value) > MAX_VALUE or not value.isascii() or not pattern.fullmatch(value):
            raise _bad_field(name)
    appid = adapter.names.get("appid")
    if appid is not None and not hmac.compare_digest(fields[appid].encode(), (source.appid or "").encode()):
        raise CallbackRejected(f"{appid} is another account's", code="wrong_appid", http_status=401)
    if adapter.scheme.envelope == "fields" and not reads_one_way(adapter.scheme, fields, adapter.patterns, fixed=appid):
        raise CallbackRejected("the signed text could be read as other fields as well", code="ambiguous")


def _refuse_field_set(adapter: Adapter, fields: Mapping[str, str]) -> None:
    for name in adapter.patterns:
        if name not in fields:
            raise CallbackRejected(f"{name} is missing", code="missing_field")
    unknown = next(name for name in fields if name not in adapter.patterns)
    raise CallbackRejected(f"{_shown(unknown)} is not known", code="unknown_field")


def _callback(
    source: Source, fields: Mapping[str, str], *, signature: str | None, secret_id: str, now: datetime
) -> Callback:
    adapter, names = source.adapter, source.adapter.names
    occurred_at = _time(names["occurred_at"], fields[names["occurred_at"]]) if "occurred_at" in names else None
    odd_clock = occurred_at is not None and abs(occurred_at - now) > CLOCK_TOLERANCE
    return Callback(
        source=source.name,
        namespace=source.namespace,
        orderid=fields[names["orderid"]],
        status=_status(adapter, fields),
        amount_micros=_amount(adapter, fields[names["amount"]]),
        amount_raw=fields[names["amount"]],
        unit_micros=adapter.unit_micros,
        appid=source.appid,
        user_ref=fields.get(names.get("user_ref", "")),
        provider_order_id=fields.get(names.get("provider_order_id", "")),
        tx_hash=fields.get(names.get("tx_hash", "")),
        occurred_at=occurred_at,
        signature=signature if adapter.signature_names_fields else None,
        secret_id=secret_id,
        flags=_CLOCK if odd_clock else _NONE,
    )


_CLOCK: frozenset[str] = frozenset({"clock"})
_NONE: frozenset[str] = frozenset()


def _time(name: str, value: str) -> datetime:
    if not _UNIX_SECONDS.fullmatch(value):
        raise _bad_field(name)
    return datetime.fromtimestamp(int(value), UTC)


def _status(adapter: Adapter, fields: Mapping[str, str]) -> Status:
    if adapter.status is not None:
        return adapter.status
    status = adapter.statuses.get(fields[adapter.names["status"]])
    if status is None:
        raise _bad_field(adapter.names["status"])
    return status


def _amount(adapter: Adapter, raw: str) -> int:
    try:
        return (
            amounts.parse_units(raw, unit_micros=adapter.unit_micros)
            if adapter.amount_form == "integer"
            else amounts.parse_decimal(raw)
        )
    except ValueError:
        raise _bad_field(adapter.names["amount"]) from None


def _bad_field(name: str) -> CallbackRejected:
    return CallbackRejected(f"{name} is not of the agreed form", code="bad_field")


def _shown(name: str) -> str:
    return ascii(name[:64])
