"""Own the tables: every constraint that keeps a promise is written here, not hoped for in code.

Amounts are BIGINT micro-USDT. Times are aware and stored in UTC. Rows that
bear a key (callbacks, orders, events) are never deleted.
"""

from __future__ import annotations

from relay.store.tables.base import metadata
from relay.store.tables.callbacks import CallbackRow
from relay.store.tables.chain import (
    AddressScan,
    Balance,
    BalanceReading,
    ChainBlock,
    ChainCut,
    ChainNode,
    ChainState,
    DayGap,
    DayProof,
    Inquiry,
    Match,
    NamedTransaction,
    ScanRange,
    Testimony,
    TokenEvent,
    Transfer,
)
from relay.store.tables.closes import (
    AskedAct,
    DayClose,
    DayFile,
    DayFilePart,
    DaySum,
    DayTrend,
    HoldNote,
    MonthClose,
    SealKey,
    Workbook,
)
from relay.store.tables.events import Attempt, Delivery, Endpoint, EndpointPace, Event, Replay
from relay.store.tables.operations import (
    Alarm,
    APIKey,
    AuditEntry,
    Break,
    Firing,
    Heartbeat,
    IdempotencyKey,
    Lease,
    Mark,
    SourceState,
)
from relay.store.tables.orders import Address, Creation, Order, Pace, Poll, ProviderAnswer, ProviderFact, Statement
from relay.store.tables.people import Session, SignInFailure, User
from relay.store.tables.reconciliation import DayLook, Dirty, DirtyStray, DirtyWork, MatchState, Recovery, Run
from relay.store.tables.triggers import create as make_triggers

__all__ = [
    "APIKey",
    "Address",
    "AddressScan",
    "Alarm",
    "AskedAct",
    "Attempt",
    "AuditEntry",
    "Balance",
    "BalanceReading",
    "Break",
    "CallbackRow",
    "ChainBlock",
    "ChainCut",
    "ChainNode",
    "ChainState",
    "Creation",
    "DayClose",
    "DayFile",
    "DayFilePart",
    "DayGap",
    "DayLook",
    "DayProof",
    "DaySum",
    "DayTrend",
    "Delivery",
    "Dirty",
    "DirtyStray",
    "DirtyWork",
    "Endpoint",
    "EndpointPace",
    "Event",
    "Firing",
    "Heartbeat",
    "HoldNote",
    "IdempotencyKey",
    "Inquiry",
    "Lease",
    "Mark",
    "Match",
    "MatchState",
    "MonthClose",
    "NamedTransaction",
    "Order",
    "Pace",
    "Poll",
    "ProviderAnswer",
    "ProviderFact",
    "Recovery",
    "Replay",
    "Run",
    "ScanRange",
    "SealKey",
    "Session",
    "SignInFailure",
    "SourceState",
    "Statement",
    "Testimony",
    "TokenEvent",
    "Transfer",
    "User",
    "Workbook",
    "make_triggers",
    "metadata",
]
