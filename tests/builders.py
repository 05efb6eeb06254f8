"""Build the values that tests speak of; a test names only what it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from relay.core.callbacks import Callback, Status
from relay.core.orders import Order
from relay.core.sources import Source
from tests.core.examples import preset

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_callback(**changes: Any) -> Callback:
    """A paid callback of 3 USDT, as crossingpay-v1 sends it."""
    usual = Callback(
        source="crossing",
        namespace="crossing",
        orderid="sh-1",
        status=Status.SUCCEEDED,
        amount_micros=3_000_000,
        amount_raw="30000",
        unit_micros=100,
        appid="VunT0000h1l8",
        user_ref="1",
        occurred_at=NOON,
        signature="AA" * 20,
        secret_id="s1",
    )
    return replace(usual, **changes)


def paying(micros: int, **changes: Any) -> Callback:
    """A paid callback of another amount, with a signature of its own."""
    raw = str(micros // 100)
    return a_callback(amount_micros=micros, amount_raw=raw, signature=f"signed-{raw}", **changes)


def a_source(**changes: Any) -> Source:
    """A live source that credits what arrives."""
    return Source(**{"name": "crossing", "namespace": "crossing", "adapter": preset(), "secrets": (), **changes})


def an_order(**changes: Any) -> Order:
    """An order that was credited with 3 USDT."""
    usual: dict[str, Any] = {
        "namespace": "crossing",
        "orderid": "sh-1",
        "source": "crossing",
        "state": "succeeded",
        "version": 1,
        "user_ref": "1",
        "amount_micros": 3_000_000,
        "amount_raw": "30000",
        "credited_micros": 3_000_000,
    }
    return Order(**(usual | changes))
