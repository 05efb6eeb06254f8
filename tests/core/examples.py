"""Own the example callback of the integration guide and the sources that receive it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from relay.core.adapters import Adapter, parse_adapter
from relay.core.callbacks import Callback, Status
from relay.core.parsing import RawRequest
from relay.core.rendering import render
from relay.core.signatures import Secret, sign
from relay.core.sources import Source

KEY = "relay-test-secret"
APPID = "VunT0000h1l8"
FIELDS = {
    "orderid": "sh-56073d0000008a2ff5521a",
    "localusermark": "1",
    "amount": "30000",
    "appid": APPID,
    "t": "1662299838",
}
SENT_AT = datetime(2022, 9, 4, 13, 57, 18, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
# Those that sign the guide's callback, without separators.
GUIDES = ("crossingpay-v1", "crossingpay-hmac")
ADDRESS = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"
URL = "https://relay.example/callbacks/crossing"
PRESETS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parents[2] / "config" / "adapters.toml").read_text())

# A provider of our own making that says everything an adapter can say: JSON, a map of statuses, an unsigned field.
HOUSE: dict[str, Any] = {
    "body": "json",
    "amount": {"form": "decimal"},
    "statuses": {"0": "failed", "1": "succeeded", "2": "pending"},
    "fields": {
        "orderid": {"name": "order", "pattern": "[A-Za-z0-9-]{1,40}"},
        "amount": {"name": "Amount", "pattern": "[0-9.]{1,20}"},
        "status": {"name": "Status", "pattern": "[0-9]"},
        "tx_hash": {"name": "Txid", "pattern": "[0-9a-f]{64}"},
        "occurred_at": {"name": "At", "pattern": "[0-9]{1,20}"},
    },
    "other_fields": {"note": "[ -~]{1,40}"},
    "signature": {"name": "sign", "digest": "hmac-sha256"},
}
HOUSE_FIELDS = {
    "order": "o-1",
    "Amount": "100.29",
    "Status": "1",
    "Txid": "a1" * 32,
    "At": "1662299838",
    "note": "paid, with thanks",
}


def preset(name: str = "crossingpay-v1") -> Adapter:
    """A preset as it ships."""
    return parse_adapter(name, PRESETS[name])


def source(adapter: Adapter | None = None, *, keys: tuple[str, ...] = (KEY,), appid: str | None = APPID) -> Source:
    """A source that nothing else is special about."""
    return Source(
        name="crossing",
        namespace="crossing",
        adapter=adapter or preset(),
        secrets=tuple(map(Secret.of, keys)),
        appid=appid,
    )


def signed(adapter: Adapter, fields: Mapping[str, str], *, key: str = KEY) -> dict[str, str]:
    """The fields with the signature that the provider would add."""
    return {**fields, adapter.scheme.name: sign(adapter.scheme, key, fields)}


def form(fields: Mapping[str, str] | list[tuple[str, str]]) -> RawRequest:
    """A form request as a provider sends it."""
    return request(urlencode(fields).encode())


def request(
    body: bytes, *, content_type: str = FORM, query: str = "", headers: Mapping[str, str] | None = None
) -> RawRequest:
    """A request of exactly these bytes."""
    return RawRequest(body=body, content_type=content_type, query=query, headers=headers or {"Host": "relay.example"})


def paid(adapter: Adapter, **changes: Any) -> Callback:
    """A credit of 30.5 USDT that each preset can say."""
    values: dict[str, Any] = {
        "source": "crossing",
        "namespace": "crossing",
        "orderid": "100" if "[0-9]{1,20}" in adapter.patterns[adapter.names["orderid"]].pattern else "o100",
        "status": Status.SUCCEEDED,
        "amount_micros": 30_500_000,
        "amount_raw": "30.5",
        "unit_micros": adapter.unit_micros,
        "appid": "1000",
        "user_ref": ADDRESS if adapter.name == "cregis" else "7",
        "provider_order_id": "62f88b36-a9d5-4fa6-aa26-e040c3dbf26d" if adapter.name == "cryptomus" else "5077125051",
        "tx_hash": "ab" * 32,
        "occurred_at": SENT_AT,
    }
    return Callback(**values | changes)


def sent(adapter: Adapter, callback: Callback | None = None, *, key: str = KEY) -> RawRequest:
    """The request in which this adapter's provider would say it."""
    body, content_type, headers = render(adapter, key, callback or paid(adapter), SENT_AT, address=ADDRESS, url=URL)
    if adapter.body == "query":
        return RawRequest(b"", "", body.decode(), headers)
    return RawRequest(body, content_type, "", headers)
