"""Own the door for bytes: `read_callback` turns any request into a Callback whose signature held, or refuses it with a reason."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from relay.core import amounts
from relay.core.adapters import Adapter
from relay.core.bodies import CONTENT_TYPES, read_flat, read_form, read_nested
from relay.core.boundaries import reads_one_way
from relay.core.callbacks import Callback, Status
from relay.core.json_text import shown
from relay.core.signatures import Scheme, nowhere, parts_of, verify
from relay.core.sources import Source
from relay.errors import CallbackRejected

MAX_VALUE = 256
CLOCK_TOLERANCE = timedelta(minutes=10)

# As many as a request to us has.
_MOST_HEADERS = 64
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
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


def read_callback(source: Source, request: RawRequest, *, now: datetime, url: str = "", fresh: bool = True) -> Callback:
    """Verify and read a request; the signature is judged before any field is.

    `url` is where the provider was told to call, for schemes that sign it;
    without `fresh` a signed time may be any, for a request that was stored.

    Raises CallbackRejected for whatever is wrong, and nothing else, whatever
    the bytes. Its codes: unsupported_media_type (415), bad_signature,
    stale_signature and wrong_appid (401); malformed, duplicate_field, unknown_field,
    missing_field, bad_field and ambiguous (400), the last for a text that
    its signature would also let us read as other fields.
    """
    adapter, scheme = source.adapter, source.adapter.scheme
    _check_envelope(adapter, request)
    # Bytes that are signed as they are must not be read before their signature holds.
    reads_first = scheme.location == "body" or scheme.envelope == "fields"
    fields = _read_body(adapter, request) if reads_first else {}
    given = _given(adapter, request, fields)
    timestamp = request.header(scheme.timestamp) or "" if scheme.timestamp else ""
    fill = _filler(scheme, request, url) if scheme.envelope == "text" else nowhere
    secret_id = verify(scheme, source.secrets, given, fields, body=request.body, timestamp=timestamp, fill=fill)
    if scheme.window_s and fresh:
        _check_age(scheme, timestamp, now)
    fields = fields or _read_body(adapter, request)
    _check_fields(source, fields)
    return _callback(source, fields, signature=given, secret_id=secret_id, now=now)


def claimed_orderid(source: Source, request: RawRequest) -> str | None:
    """Return the order that a refused request names, unverified: it says nothing of the order but that somebody spoke of it."""
    name = source.adapter.names["orderid"]
    try:
        value = _read_body(source.adapter, request).get(name, "")
    except CallbackRejected:
        return None
    is_one = len(value) <= MAX_VALUE and value.isascii() and source.adapter.patterns[name].fullmatch(value)
    return value if is_one else None


def _check_envelope(adapter: Adapter, request: RawRequest) -> None:
    wanted = CONTENT_TYPES[adapter.body]
    if wanted and request.content_type != wanted:
        kind, _, parameter = request.content_type.partition(";")
        if kind.strip().lower() != wanted or parameter.strip().lower() not in ("", "charset=utf-8", 'charset="utf-8"'):
            raise CallbackRejected(f"send {wanted}", code="unsupported_media_type", http_status=415)
    if request.header("content-encoding") is not None:
        raise CallbackRejected("send the body without Content-Encoding", code="unsupported_media_type", http_status=415)
    if request.query and adapter.body != "query":
        raise CallbackRejected("query parameters are not part of a callback")
    if request.body and adapter.body == "query":
        raise CallbackRejected("this callback is all in its query; a body is not part of it")


def _read_body(adapter: Adapter, request: RawRequest) -> dict[str, str]:
    match adapter.body:
        case "form":
            return read_form(request.body)
        case "json":
            return read_flat(request.body, adapter.numbers)
        case "query":
            return read_form(request.query.encode("utf-8", "surrogatepass"))
        case _:
            paths = list(adapter.patterns)
            return read_nested(request.body, [*paths, adapter.scheme.name] if _signs_inside(adapter) else paths)


def _signs_inside(adapter: Adapter) -> bool:
    return adapter.scheme.location == "body"


def _given(adapter: Adapter, request: RawRequest, fields: dict[str, str]) -> str | None:
    """Return the signature that came, taken out of the fields where it is one of them."""
    scheme = adapter.scheme
    if scheme.location == "body":
        return fields.pop(scheme.name, None)
    given = request.header(scheme.name)
    return parts_of(given or "").get(scheme.part) if scheme.part else given


def _filler(scheme: Scheme, request: RawRequest, url: str) -> Callable[[str], str]:
    """Return what finds the text for a placeholder of the signed text in this request."""
    parts = parts_of(request.header(scheme.name) or "") if scheme.part else {}

    def fill(placeholder: str) -> str:
        kind, _, name = placeholder.partition(":")
        match kind:
            case "header":
                return request.header(name) or ""
            case "part":
                return parts.get(name, "")
            case "headers":
                return ".".join(request.header(one) or "" for one in _listed(parts.get(name, "")))
            case _:
                return {"method": "POST", "url": url}.get(kind, "")

    return fill


def _listed(names: str) -> list[str]:
    """The list of a stranger may name one long header again and again: what it is filled with would be gigabytes."""
    listed = names.split()
    if len(listed) > _MOST_HEADERS:
        raise CallbackRejected("too many headers are named as signed", code="bad_signature", http_status=401)
    return listed


def _check_age(scheme: Scheme, timestamp: str, now: datetime) -> None:
    """A signed time tells how old a repeated request is; the provider's own repetitions are signed anew."""
    if not _UNIX_SECONDS.fullmatch(timestamp) or abs(int(timestamp) - now.timestamp()) > scheme.window_s:
        raise CallbackRejected(
            f"{scheme.timestamp} is more than {scheme.window_s} s from now", code="stale_signature", http_status=401
        )


def _check_fields(source: Source, fields: Mapping[str, str]) -> None:
    adapter = source.adapter
    if fields.keys() != adapter.patterns.keys():
        _check_field_set(adapter, fields)
    for name, pattern in adapter.patterns.items():
        value = fields.get(name)
        if not value:
            if name in adapter.optional:
                continue
            raise CallbackRejected(f"{name} is empty", code="missing_field")
        if len(value) > MAX_VALUE or not pattern.fullmatch(value):
            raise _bad_field(name)
        # A loose pattern may let letters of other scripts through that look like ours: two orders that people cannot tell apart.
        if not value.isascii() and name in adapter.names.values():
            raise _bad_field(name)
    appid = adapter.names.get("appid")
    if appid is not None and not hmac.compare_digest(fields[appid].encode(), (source.appid or "").encode()):
        raise CallbackRejected(f"{appid} is another account's", code="wrong_appid", http_status=401)
    if adapter.scheme.envelope == "fields" and not reads_one_way(adapter.scheme, fields, adapter.patterns, fixed=appid):
        raise CallbackRejected("the signed text could be read as other fields as well", code="ambiguous")


def _check_field_set(adapter: Adapter, fields: Mapping[str, str]) -> None:
    for name in adapter.patterns:
        if name not in fields and name not in adapter.optional:
            raise CallbackRejected(f"{name} is missing", code="missing_field")
    unknown = [name for name in fields if name not in adapter.patterns]
    if unknown and not adapter.ignores_unknown:
        raise CallbackRejected(f"{shown(unknown[0])} is not known", code="unknown_field")
    if adapter.scheme.envelope == "fields" and not all(map(_PLAIN_NAME.fullmatch, unknown)):
        raise CallbackRejected("a name could be read as other fields as well", code="ambiguous")


def _callback(
    source: Source, fields: Mapping[str, str], *, signature: str | None, secret_id: str, now: datetime
) -> Callback:
    adapter, names = source.adapter, source.adapter.names
    status, raw_status = _status(adapter, fields)
    if status in _CREDITS:
        _check_credit(adapter, fields)
    occurred_at = _time(adapter, fields) if "occurred_at" in names else None
    amount_raw = fields.get(names["amount"], "")
    odd_clock = occurred_at is not None and abs(occurred_at - now) > CLOCK_TOLERANCE
    return Callback(
        source=source.name,
        namespace=source.namespace,
        orderid=fields[names["orderid"]],
        status=status,
        raw_status=raw_status,
        amount_micros=_amount(adapter, amount_raw) if amount_raw else 0,
        amount_raw=amount_raw,
        unit_micros=adapter.unit_micros,
        appid=source.appid,
        user_ref=fields.get(names.get("user_ref", "")) or None,
        provider_order_id=fields.get(names.get("provider_order_id", "")) or None,
        tx_hash=_transaction(adapter, fields),
        occurred_at=occurred_at,
        # One that leaves a field out may rightly come again over another value of it, and is no forgery then.
        signature=signature if adapter.signature_names_fields else None,
        secret_id=secret_id,
        flags=_CLOCK if odd_clock else _NONE,
    )


_CREDITS = frozenset({Status.SUCCEEDED, Status.REFUNDED})
_CLOCK: frozenset[str] = frozenset({"clock"})
_NONE: frozenset[str] = frozenset()


def _check_credit(adapter: Adapter, fields: Mapping[str, str]) -> None:
    for name in adapter.needed_to_credit:
        if not fields.get(name):
            raise CallbackRejected(f"{name} is missing, and this callback is about money", code="missing_field")


def _time(adapter: Adapter, fields: Mapping[str, str]) -> datetime | None:
    name = adapter.names["occurred_at"]
    value = fields.get(name)
    if not value:
        return None
    if adapter.time_form == "rfc3339":
        return _moment(name, value)
    digits, thousandths = (value[:-3], value[-3:]) if adapter.time_form == "unix-ms" else (value, "0")
    if not _UNIX_SECONDS.fullmatch(digits) or not thousandths.isdigit():
        raise _bad_field(name)
    seconds = datetime.fromtimestamp(int(digits), UTC)
    return seconds + timedelta(milliseconds=int(thousandths)) if thousandths != "0" else seconds


def _moment(name: str, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _bad_field(name)


def _transaction(adapter: Adapter, fields: Mapping[str, str]) -> str | None:
    """Some write their own number where the transaction's will be once there is one; nobody could find that on a chain."""
    found = fields.get(adapter.names.get("tx_hash", ""))
    return found if found and found != fields.get(adapter.names.get("provider_order_id", "")) else None


def _status(adapter: Adapter, fields: Mapping[str, str]) -> tuple[Status, str | None]:
    """Return our word and the provider's; what is not mapped is kept, for a person to look at."""
    if adapter.status is not None:
        return adapter.status, None
    theirs = fields[adapter.names["status"]]
    return adapter.statuses.get(theirs, Status.UNKNOWN), theirs


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
