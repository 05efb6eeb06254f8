"""Own the way back: a credit written and signed in the shape in which its provider calls, for those who read only that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from relay.core.adapters import REFERENCE, Adapter
from relay.core.amounts import format_micros
from relay.core.bodies import CONTENT_TYPES, steps
from relay.core.callbacks import Callback
from relay.core.canonical import write
from relay.core.json_text import Number
from relay.core.signatures import PLACEHOLDER, sign
from relay.errors import Unprocessable

Rendered = tuple[bytes, str, dict[str, str]]


def render(
    adapter: Adapter, secret: str, callback: Callback, now: datetime, *, address: str = "", url: str = ""
) -> Rendered:
    """Return body, content type and headers of a request that says what `callback` says.

    `address` is the order's, for shapes that name it; `url` is where the
    request goes, for schemes that sign it. A shape "query" gives its query as
    the body. Raises Unprocessable when the shape needs what nobody knows.
    """
    if adapter.scheme.part:
        raise Unprocessable(f"{adapter.name} signs a list of headers that only the provider sends")
    fields = _fields(adapter, _words(adapter, callback, now, address))
    if adapter.scheme.location == "header":
        body = _body(adapter, fields)
        return body, _content_type(adapter), _signed_headers(adapter, secret, callback, body, now=now, url=url)
    signed = {name: _as_text(value) for name, value in fields.items()}
    signature = sign(adapter.scheme, secret, signed, body=_body(adapter, fields))
    return _body(adapter, {**fields, adapter.scheme.name: signature}), _content_type(adapter), {}


def ack_ok(adapter: Adapter, status: int, body: bytes) -> bool:
    """Tell whether an answer is what the provider takes for "received"."""
    ack, text = adapter.ack, body.decode(errors="replace").strip()
    match ack.check:
        case "equal":
            return status == ack.status and text == ack.body
        case "contains":
            return status == ack.status and ack.body in text
        case "status":
            return status == ack.status
        case _:
            return 200 <= status < 300  # any of the answers that mean success


def _words(adapter: Adapter, callback: Callback, now: datetime, address: str) -> dict[str, str]:
    moment = callback.occurred_at or now
    known = {
        "orderid": callback.orderid,
        "user_ref": callback.user_ref,
        "amount": _amount(adapter, callback.amount_micros),
        "appid": callback.appid,
        "occurred_at": _time(adapter, moment),
        "status": next((theirs for theirs, ours in adapter.statuses.items() if ours is callback.status), None),
        "provider_order_id": callback.provider_order_id,
        "tx_hash": callback.tx_hash,
        "address": address,
        "now": str(int(now.timestamp())),
        "now_ms": str(int(now.timestamp()) * 1000),
    }
    return {word: value for word, value in known.items() if value}


def _fields(adapter: Adapter, words: Mapping[str, str]) -> dict[str, str | int]:
    """Return every field of the shape, our words by the provider's names; Unprocessable for one that has no value."""
    fields: dict[str, str | int] = {}
    for name, value in adapter.template.items():
        filled = REFERENCE.sub(lambda found: words.get(found[1], ""), value) if isinstance(value, str) else value
        fields |= {} if filled == "" else {name: filled}
    fields |= {name: words[word] for word, name in adapter.names.items() if word in words}
    missing = [name for name in adapter.patterns if name not in fields and name not in adapter.optional]
    if missing:
        raise Unprocessable(f"{adapter.name} needs {missing[0]}, which is not known")
    return fields


def _amount(adapter: Adapter, micros: int) -> str:
    if adapter.amount_form == "integer":
        return str(micros // adapter.unit_micros)
    whole, _, fraction = format_micros(micros).partition(".")
    places = fraction.rstrip("0")
    return f"{whole}.{places}" if places else whole


def _time(adapter: Adapter, moment: datetime) -> str:
    match adapter.time_form:
        case "rfc3339":
            return moment.isoformat()
        case "unix-ms":
            return str(int(moment.timestamp() * 1000))
        case _:
            return str(int(moment.timestamp()))


def _as_text(value: str | int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _body(adapter: Adapter, fields: Mapping[str, str | int]) -> bytes:
    if adapter.body in ("form", "query"):
        return urlencode({name: _as_text(value) for name, value in fields.items()}).encode()
    members: dict[str, object] = {}
    for path, value in fields.items():
        leaf = Number(value) if path in adapter.written_as_number else value
        if adapter.body == "nested":
            _set(members, path, leaf)
        else:
            members[path] = leaf
    return write(members).encode()


def _set(members: dict[str, object], path: str, leaf: object) -> None:
    *parents, (last, _) = steps(path)
    for name, flag in parents:
        inner = members.setdefault(name, [{flag: True}] if flag else {})
        members = inner[0] if isinstance(inner, list) else inner  # type: ignore[assignment]  # a path has one shape
    members[last] = leaf


def _content_type(adapter: Adapter) -> str:
    return CONTENT_TYPES[adapter.body] or CONTENT_TYPES["form"]


def _signed_headers(
    adapter: Adapter, secret: str, callback: Callback, body: bytes, *, now: datetime, url: str
) -> dict[str, str]:
    scheme, timestamp = adapter.scheme, str(int(now.timestamp()))
    headers = {scheme.timestamp: timestamp} if scheme.timestamp else {}
    for placeholder in PLACEHOLDER.findall(scheme.text):
        kind, _, name = placeholder.partition(":")
        headers |= {name: callback.appid or ""} if kind == "header" else {}

    def fill(placeholder: str) -> str:
        kind, _, name = placeholder.partition(":")
        return headers.get(name, "") if kind == "header" else {"method": "POST", "url": url}.get(kind, "")

    headers[scheme.name] = sign(scheme, secret, {}, body=body, timestamp=timestamp, fill=fill)
    return headers
