"""Own what we announce: the catalogue of event types and the body of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relay.core.amounts import format_micros
from relay.core.chain_addresses import family_of
from relay.core.hashes import show_hash

if TYPE_CHECKING:
    from relay.core.callbacks import Callback
    from relay.core.facts import Transfer
    from relay.core.orders import Change, Order, Ruling

RECHARGE_TYPES = (
    "recharge.pending",
    "recharge.held",
    "recharge.expired",
    "recharge.failed",
    "recharge.succeeded",
    "recharge.adjusted",
    "recharge.reversed",
    "recharge.reinstated",
)
OPERATION_TYPES = (
    "delivery.exhausted",
    "endpoint.failing",
    "endpoint.disabled",
    "endpoint.recovered",
    "reconciliation.break.opened",
    "reconciliation.break.resolved",
    "reconciliation.run.incomplete",
    "reconciliation.report.ready",
    "relay.alert",
    "relay.test",
)
EVENT_TYPES = RECHARGE_TYPES + OPERATION_TYPES


def recharge_body(
    order: Order,
    cause: Callback | Ruling,
    *,
    transfer: Transfer | None = None,
    change: Change | None,
    event_type: str,
    event_id: str,
    sequence: int,
    now: datetime,
) -> str:
    """Return the body of an event of an order: the JSON text whose bytes every attempt sends.

    `cause` tells who brought the fact and of when it is: the callback that
    was judged, or the ruling where there was none. `transfer` is the movement
    of money behind it, None while it is not known.
    A change of money that was credited before adds `delta_micros`, `delta`
    and `reason`; a reversal and its undoing add `generation`.
    """
    return _body(
        event_type,
        now,
        {
            "event_id": event_id,
            "sequence": sequence,
            "source": order.source,
            "namespace": order.namespace,
            "appid": order.appid,
            "orderid": order.orderid,
            "order_version": order.version,
            "provider_order_id": order.provider_order_id,
            "user_ref": order.user_ref,
            "amount": _usdt(order.amount_micros),
            "amount_micros": order.amount_micros,
            "amount_raw": order.amount_raw,
            "currency": "USDT",
            "credited_micros": order.credited_micros,
            "expected_amount": _usdt(order.expected_micros),
            "flags": sorted(order.flags),
            "origin": cause.origin,
            "occurred_at": rfc3339(cause.occurred_at or now, timespec="seconds"),
            "transfer": None if transfer is None else _told(transfer),
            **_changed(change),
        },
    )


def operation_body(event_type: str, *, event_id: str, sequence: int, now: datetime, data: Mapping[str, Any]) -> str:
    """Return the body of an operational event; `data` joins the id and the sequence."""
    return _body(event_type, now, {"event_id": event_id, "sequence": sequence, **data})


def rfc3339(moment: datetime, *, timespec: str = "milliseconds") -> str:
    """Spell an aware moment as RFC 3339 UTC with a Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _body(event_type: str, now: datetime, data: Mapping[str, Any]) -> str:
    return _ENCODER.encode({"type": event_type, "timestamp": rfc3339(now), "data": data})


# Made once: json.dumps would make one for each body.
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _told(transfer: Transfer) -> dict[str, Any]:
    return {
        "chain": transfer.chain,
        "tx_hash": show_hash(transfer.tx_hash, family_of(transfer.chain)),
        "log_index": transfer.log_index,
        "block_number": transfer.block_number,
        "confirmations": transfer.confirmations,
    }


def _changed(change: Change | None) -> dict[str, Any]:
    if change is None:
        return {}
    told = {"delta_micros": change.delta_micros, "delta": format_micros(change.delta_micros), "reason": change.reason}
    return told if change.generation is None else told | {"generation": change.generation}


def _usdt(micros: int | None) -> str | None:
    return None if micros is None else format_micros(micros)
