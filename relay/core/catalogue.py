"""Own the catalogue of events: for each type when it is written, what a subscriber does, and the JSON Schema of its body.

Fields are only ever added, so the schemas leave room for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_WHOLE: Schema = {"type": "integer"}
_WHOLE_OR_NULL: Schema = {"type": ["integer", "null"]}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_AMOUNT: Schema = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{6}$", "description": "USDT with six places"}
_AMOUNT_OR_NULL: Schema = {**_AMOUNT, "type": ["string", "null"]}
_EVIDENCE: Schema = {"type": "object", "additionalProperties": True}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


_IDENTITY = {"event_id": _TEXT, "sequence": {**_WHOLE, "description": "place in the feed"}}
_TRANSFER = _object(
    chain=_TEXT,
    tx_hash={**_TEXT, "description": "as the chain's explorers spell it"},
    log_index=_WHOLE,
    block_number=_WHOLE,
    confirmations=_WHOLE,
)
_ORDER: dict[str, Schema] = {
    **_IDENTITY,
    "source": {**_TEXT, "description": "the witness that won"},
    "namespace": _TEXT,
    "appid": _TEXT_OR_NULL,
    "orderid": _TEXT,
    "order_version": {**_WHOLE, "description": "grows with each change of the order; ignore older ones"},
    "provider_order_id": _TEXT_OR_NULL,
    "user_ref": _TEXT_OR_NULL,
    "amount": _AMOUNT_OR_NULL,
    "amount_micros": _WHOLE_OR_NULL,
    "amount_raw": {**_TEXT_OR_NULL, "description": "the provider's own spelling"},
    "currency": {"const": "USDT"},
    "credited_micros": {**_WHOLE, "description": "what the order's credit is from now on"},
    "expected_amount": _AMOUNT_OR_NULL,
    "flags": {"type": "array", "items": _TEXT, "uniqueItems": True},
    "origin": {"enum": ["callback", "reconciler", "operator"]},
    "occurred_at": _MOMENT,
    "transfer": {"anyOf": [_TRANSFER, {"type": "null"}]},
}
_CHANGE: dict[str, Schema] = {
    "delta_micros": {**_WHOLE, "description": "signed; 0 says that the credit stands"},
    "delta": _AMOUNT,
    "reason": _TEXT,
}
_TURN = {**_CHANGE, "generation": {**_WHOLE, "description": "counts the order's reversals"}}


@dataclass(frozen=True, slots=True)
class Entry:
    """One type. `optional` are fields of its data that are not always there."""

    when: str
    then: str
    data: Mapping[str, Schema]
    optional: Mapping[str, Schema] | None = None


_ENDPOINT = {**_IDENTITY, "endpoint_id": _TEXT}
_OF_ORDER = {"namespace": _TEXT_OR_NULL, "orderid": _TEXT_OR_NULL}

CATALOGUE: Mapping[str, Entry] = {
    "recharge.pending": Entry(
        "The provider has seen a payment that is not final, or part of the money.", "Show it. Credit nothing.", _ORDER
    ),
    "recharge.held": Entry(
        "A person has to decide: the amount, a limit, a missing witness or a conflict.",
        "Show that it is being checked. What was credited before stands.",
        _ORDER,
    ),
    "recharge.expired": Entry("The order's time passed without money.", "Show it; late money may still come.", _ORDER),
    "recharge.failed": Entry("The provider says that the payment failed.", "Show it. Credit nothing.", _ORDER),
    "recharge.succeeded": Entry(
        "The order is paid; at most once for each order of a namespace, ever.",
        "Credit credited_micros to user_ref, once for (namespace, orderid).",
        _ORDER,
        _CHANGE,
    ),
    "recharge.adjusted": Entry(
        "Money that was credited changed: a second payment, a refund, a correction.",
        "Add the signed delta_micros, once for each event_id; or set the credit to credited_micros.",
        {**_ORDER, **_CHANGE},
    ),
    "recharge.reversed": Entry(
        "What was credited, or the part that no transfer stands behind any more, is taken back: its transfer was removed, or a person says so.",
        "Debit by delta_micros, which is negative, or freeze the account; credited_micros is what stays credited.",
        {**_ORDER, **_TURN},
    ),
    "recharge.reinstated": Entry(
        "A reversed transfer is there again.", "Credit again: delta_micros is positive.", {**_ORDER, **_TURN}
    ),
    "delivery.exhausted": Entry(
        "A delivery failed ten times in 75 hours and is dead.",
        "Alert; mend the endpoint, then retry the delivery.",
        {
            **_ENDPOINT,
            **_OF_ORDER,
            "delivery_id": _WHOLE,
            "exhausted_event_id": _TEXT,
            "exhausted_event_type": _TEXT,
            "attempts": _WHOLE,
            "last_status": _WHOLE_OR_NULL,
            "last_error": _TEXT_OR_NULL,
        },
    ),
    "endpoint.failing": Entry(
        "An endpoint has done nothing but fail for a minute and ten attempts; it is tried with one delivery at a time.",
        "Alert; mend the endpoint. What waits is sent when it accepts again.",
        {
            **_ENDPOINT,
            "failing_since": _MOMENT,
            "failures_in_row": _WHOLE,
            "last_status": _WHOLE_OR_NULL,
            "last_error": _TEXT_OR_NULL,
        },
    ),
    "endpoint.recovered": Entry(
        "An endpoint that was announced as failing accepts again, and is sent what waited.",
        "Close the alert.",
        {**_ENDPOINT, "failing_since": {**_MOMENT, "type": ["string", "null"]}},
    ),
    "endpoint.disabled": Entry(
        "It answered 410 twice, or did nothing but fail for five days: it is told nothing more until somebody enables it; what happens meanwhile waits.",
        "Alert; mend the endpoint and enable it.",
        {**_ENDPOINT, "reason": _TEXT},
    ),
    "reconciliation.break.opened": Entry(
        "Two witnesses disagree about an order, or about money without one.",
        "Alert finance; severity 1 is the most urgent.",
        {
            **_IDENTITY,
            **_OF_ORDER,
            "break_id": _TEXT,
            "class": _TEXT,
            "severity": _WHOLE,
            "evidence": _EVIDENCE,
        },
        {"chain": _TEXT, "subject": {**_TEXT, "description": "the transfer, balance or address, where it is no order"}},
    ),
    "reconciliation.break.resolved": Entry(
        "A break is over: later facts agree (resolved_by is reconciler), or a person has closed it.",
        "End the alert of that break_id.",
        {
            **_IDENTITY,
            **_OF_ORDER,
            "break_id": _TEXT,
            "class": _TEXT,
            "severity": _WHOLE,
            "resolved_by": _TEXT,
            "reason": _TEXT_OR_NULL,
        },
    ),
    "reconciliation.run.incomplete": Entry(
        "A run could not see everything (a chain is not read, nodes are not at one, a provider gives no usable answer), "
        "or found that orders of past days stood otherwise. reason says which; told once, until that changes.",
        "Alert; what the run found holds, what it did not find is not proven.",
        {**_IDENTITY, "reason": _TEXT},
    ),
    "reconciliation.report.ready": Entry(
        "A business day was approved and sealed.",
        "Fetch its files; manifest_sha256 names what was sealed.",
        {
            **_IDENTITY,
            "day": {"type": "string", "format": "date"},
            "version": _WHOLE,
            "manifest_sha256": _TEXT,
            "state": {"const": "sealed"},
        },
    ),
    "relay.alert": Entry(
        "A person is needed. brake_pulled: more is to be recovered than a source's brake allows, and nothing of it is; "
        "many_breaks: more breaks opened or were resolved at once than are told one by one; "
        "source_stale: a provider has given no usable answer since a while; "
        "bad_signatures: many requests to a source have signatures that do not verify. The last two are told once, until they are over.",
        "Alert; reason names what to look at.",
        {**_IDENTITY, "reason": {"enum": ["brake_pulled", "many_breaks", "source_stale", "bad_signatures"]}},
        {
            "source": _TEXT,
            "count": _WHOLE,
            "amount": _AMOUNT,
            "largest": {"type": "array", "items": _object(orderid=_TEXT, amount=_AMOUNT, evidence=_EVIDENCE)},
            "not_told": _WHOLE,
            "since": _MOMENT,
        },
    ),
    "relay.test": Entry("Somebody tests an endpoint.", "Verify it, answer 2xx, do nothing.", _ENDPOINT),
}


def schema_of(event_type: str) -> Schema:
    """Return the JSON Schema of a whole body of this type."""
    entry = CATALOGUE[event_type]
    data = _object(**entry.data)
    data["properties"] = {**data["properties"], **(entry.optional or {})}
    body = _object(type={"const": event_type}, timestamp=_MOMENT, data=data)
    return {"$schema": DIALECT, "title": event_type, "description": entry.when, **body}
