"""Own the translation between rows and the values of the core."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Table

from relay.core.callbacks import Callback, Origin, Status
from relay.core.orders import Finding, Order
from relay.store import tables

# SQLModel hides the Table behind the class; Core statements want it bare.
orders: Table = tables.Order.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
callbacks: Table = tables.CallbackRow.__table__  # type: ignore[attr-defined]  # as above
events: Table = tables.Event.__table__  # type: ignore[attr-defined]  # as above
endpoints: Table = tables.Endpoint.__table__  # type: ignore[attr-defined]  # as above
deliveries: Table = tables.Delivery.__table__  # type: ignore[attr-defined]  # as above
replays: Table = tables.Replay.__table__  # type: ignore[attr-defined]  # as above
attempts: Table = tables.Attempt.__table__  # type: ignore[attr-defined]  # as above
breaks: Table = tables.Break.__table__  # type: ignore[attr-defined]  # as above
source_states: Table = tables.SourceState.__table__  # type: ignore[attr-defined]  # as above
audit: Table = tables.AuditEntry.__table__  # type: ignore[attr-defined]  # as above
api_keys: Table = tables.APIKey.__table__  # type: ignore[attr-defined]  # as above
heartbeats: Table = tables.Heartbeat.__table__  # type: ignore[attr-defined]  # as above
alarms: Table = tables.Alarm.__table__  # type: ignore[attr-defined]  # as above
leases: Table = tables.Lease.__table__  # type: ignore[attr-defined]  # as above
idempotency_keys: Table = tables.IdempotencyKey.__table__  # type: ignore[attr-defined]  # as above
marks: Table = tables.Mark.__table__  # type: ignore[attr-defined]  # as above
firings: Table = tables.Firing.__table__  # type: ignore[attr-defined]  # as above
creations: Table = tables.Creation.__table__  # type: ignore[attr-defined]  # as above
addresses: Table = tables.Address.__table__  # type: ignore[attr-defined]  # as above
provider_facts: Table = tables.ProviderFact.__table__  # type: ignore[attr-defined]  # as above
provider_answers: Table = tables.ProviderAnswer.__table__  # type: ignore[attr-defined]  # as above
polls: Table = tables.Poll.__table__  # type: ignore[attr-defined]  # as above
statements: Table = tables.Statement.__table__  # type: ignore[attr-defined]  # as above
paces: Table = tables.Pace.__table__  # type: ignore[attr-defined]  # as above
chains: Table = tables.ChainState.__table__  # type: ignore[attr-defined]  # as above
scan_ranges: Table = tables.ScanRange.__table__  # type: ignore[attr-defined]  # as above
chain_blocks: Table = tables.ChainBlock.__table__  # type: ignore[attr-defined]  # as above
chain_nodes: Table = tables.ChainNode.__table__  # type: ignore[attr-defined]  # as above
transfers: Table = tables.Transfer.__table__  # type: ignore[attr-defined]  # as above
token_events: Table = tables.TokenEvent.__table__  # type: ignore[attr-defined]  # as above
balances: Table = tables.Balance.__table__  # type: ignore[attr-defined]  # as above
balance_readings: Table = tables.BalanceReading.__table__  # type: ignore[attr-defined]  # as above
chain_cuts: Table = tables.ChainCut.__table__  # type: ignore[attr-defined]  # as above
day_proofs: Table = tables.DayProof.__table__  # type: ignore[attr-defined]  # as above
day_gaps: Table = tables.DayGap.__table__  # type: ignore[attr-defined]  # as above
matches: Table = tables.Match.__table__  # type: ignore[attr-defined]  # as above
testimonies: Table = tables.Testimony.__table__  # type: ignore[attr-defined]  # as above
inquiries: Table = tables.Inquiry.__table__  # type: ignore[attr-defined]  # as above
address_scans: Table = tables.AddressScan.__table__  # type: ignore[attr-defined]  # as above
unordered_credits: Table = tables.UnorderedCredit.__table__  # type: ignore[attr-defined]  # as above
users: Table = tables.User.__table__  # type: ignore[attr-defined]  # as above
sessions: Table = tables.Session.__table__  # type: ignore[attr-defined]  # as above
day_closes: Table = tables.DayClose.__table__  # type: ignore[attr-defined]  # as above
day_files: Table = tables.DayFile.__table__  # type: ignore[attr-defined]  # as above
day_file_parts: Table = tables.DayFilePart.__table__  # type: ignore[attr-defined]  # as above
seal_keys: Table = tables.SealKey.__table__  # type: ignore[attr-defined]  # as above
month_closes: Table = tables.MonthClose.__table__  # type: ignore[attr-defined]  # as above
hold_notes: Table = tables.HoldNote.__table__  # type: ignore[attr-defined]  # as above
day_sums: Table = tables.DaySum.__table__  # type: ignore[attr-defined]  # as above
day_trends: Table = tables.DayTrend.__table__  # type: ignore[attr-defined]  # as above
asked_acts: Table = tables.AskedAct.__table__  # type: ignore[attr-defined]  # as above
workbooks: Table = tables.Workbook.__table__  # type: ignore[attr-defined]  # as above
workbook_parts: Table = tables.WorkbookPart.__table__  # type: ignore[attr-defined]  # as above
day_looks: Table = tables.DayLook.__table__  # type: ignore[attr-defined]  # as above
dirty: Table = tables.Dirty.__table__  # type: ignore[attr-defined]  # as above
dirty_work: Table = tables.DirtyWork.__table__  # type: ignore[attr-defined]  # as above
dirty_strays: Table = tables.DirtyStray.__table__  # type: ignore[attr-defined]  # as above
named_transactions: Table = tables.NamedTransaction.__table__  # type: ignore[attr-defined]  # as above
match_states: Table = tables.MatchState.__table__  # type: ignore[attr-defined]  # as above
runs: Table = tables.Run.__table__  # type: ignore[attr-defined]  # as above
recoveries: Table = tables.Recovery.__table__  # type: ignore[attr-defined]  # as above
sign_in_failures: Table = tables.SignInFailure.__table__  # type: ignore[attr-defined]  # as above

TRANSFER_KEY = ("chain", "tx_hash", "log_index")
# What the core's Transfer has of a row; its confirmations are counted.
TRANSFER_FIELDS = (
    *TRANSFER_KEY,
    "block_number",
    "block_hash",
    "block_time",
    "contract",
    "sender",
    "recipient",
    "amount_micros",
    "rest",
    "is_final",
)
_ORDER_FIELDS = (
    "namespace",
    "orderid",
    "source",
    "state",
    "version",
    "appid",
    "user_ref",
    "provider_order_id",
    "amount_micros",
    "amount_raw",
    "expected_micros",
    "credited_micros",
    "registered",
    "held_reason",
    "chain",
    "address",
    "notify_url",
    "expires_at",
)
_CALLBACK_FIELDS = (
    "source",
    "namespace",
    "orderid",
    "amount_micros",
    "amount_raw",
    "unit_micros",
    "appid",
    "user_ref",
    "provider_order_id",
    "tx_hash",
    "occurred_at",
    "signature",
    "secret_id",
    "part",
)
_values_of_order, _values_of_callback = attrgetter(*_ORDER_FIELDS), attrgetter(*_CALLBACK_FIELDS)
order_columns = [orders.c[name] for name in (*_ORDER_FIELDS, "flags")]
callback_columns = [callbacks.c[name] for name in (*_CALLBACK_FIELDS, "status", "origin", "flags")]


def join_flags(flags: frozenset[str]) -> str:
    """Flags are stored as sorted words, so that equal sets are equal texts."""
    return " ".join(sorted(flags))


def order_from(values: Mapping[str, Any]) -> Order:
    """Return the core's order from a row of `order_columns`."""
    return Order(**{name: values[name] for name in _ORDER_FIELDS}, flags=frozenset(values["flags"].split()))


def order_values(order: Order) -> dict[str, Any]:
    """Return the columns of an order."""
    return dict(zip(_ORDER_FIELDS, _values_of_order(order), strict=True)) | {"flags": join_flags(order.flags)}


def callback_from(values: Mapping[str, Any]) -> Callback:
    """Return the core's callback from a row of `callback_columns` (one that was not rejected)."""
    status = Status(values["status"])
    return Callback(
        **{name: values[name] for name in _CALLBACK_FIELDS},
        status=status,
        raw_status=values["part"] if status is Status.UNKNOWN else None,
        origin=Origin(values["origin"]),
        flags=frozenset(values["flags"].split()),
    )


def callback_values(callback: Callback) -> dict[str, Any]:
    """Return the columns that a callback fills."""
    return dict(zip(_CALLBACK_FIELDS, _values_of_callback(callback), strict=True)) | {
        "status": callback.status.value,
        "origin": callback.origin.value,
        "flags": join_flags(callback.flags),
    }


def spelled(evidence: Mapping[str, Any]) -> str:
    """Evidence is stored as one text for equal facts, so that a change of it is seen."""
    return json.dumps(dict(evidence), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def break_values(finding: Finding, now: datetime) -> dict[str, Any]:
    """Return the columns of a break that opens."""
    namespace, orderid = finding.key
    spot = finding.spot
    return {
        "id": finding.id,
        "kind": finding.kind,
        "severity": finding.severity,
        "state": "open",
        "namespace": namespace,
        "orderid": orderid,
        "chain": None if spot is None else spot.chain,
        "subject": None if spot is None else spot.name,
        "address": None if spot is None else spot.address,
        "tx_hash": None if spot is None else spot.tx_hash,
        "amount_micros": finding.amount_micros,
        "evidence": spelled(finding.evidence),
        "first_seen": now,
        "last_seen": now,
    }
