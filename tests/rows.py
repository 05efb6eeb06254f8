"""Put rows into a database that tests list and look up; a test names only the columns it is about."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Table, insert

from relay.core.actors import Actor, hash_of, new_key
from relay.core.ids import time_ordered_id
from relay.store import keys, people, rows
from relay.store.engine import writing
from tests.builders import NOON

_numbers = itertools.count(1)


def add(engine: Engine, table: Table, **columns: Any) -> Any:
    """Insert one row; return its primary key."""
    with writing(engine) as connection:
        return connection.execute(insert(table).values(columns)).inserted_primary_key[0]  # type: ignore[index]  # an insert of one row has one


def a_key(engine: Engine, *roles: str, sources: set[str] | None = None) -> str:
    """Store a key with these roles; return it as its holder sends it."""
    number = next(_numbers)
    key = new_key(number.to_bytes(32, "big"))
    scope = None if sources is None else frozenset(sources)
    holder = Actor(id=f"key_{number}", name="a test", roles=frozenset(roles), sources=scope)
    with writing(engine) as connection:
        keys.add(connection, holder, digest=hash_of(key), now=NOON)
    return key


def a_person(engine: Engine, name: str, *roles: str, password: str = "unusable") -> Actor:
    """Store a person; `password` is what is stored of one."""
    with writing(engine) as connection:
        people.add(connection, name, roles, password, now=NOON)
    return people.person(name, roles)


def a_session(engine: Engine, name: str, *roles: str) -> str:
    """Store a person who has just signed in; return the token of the session."""
    a_person(engine, name, *roles)
    token = f"token-{next(_numbers)}"
    with writing(engine) as connection:
        people.begin(connection, name, hash_of(token), now=datetime.now(UTC))
    return token


def an_event(engine: Engine, sequence: int, **columns: Any) -> str:
    """Store an event, one second after the one before; return its id."""
    moment = NOON + timedelta(seconds=sequence)
    usual = {
        "sequence": sequence,
        "id": time_ordered_id("evt", moment, sequence.to_bytes(10, "big")),
        "type": "recharge.succeeded",
        "source": "crossing",
        "namespace": "crossing",
        "orderid": f"sh-{sequence}",
        "order_version": 1,
        "amount_micros": 3_000_000,
        "flags": "",
        "body": f'{{"type":"recharge.succeeded","data":{{"sequence":{sequence}}}}}',
        "created_at": moment,
    }
    add(engine, rows.events, **usual | columns)
    return str((usual | columns)["id"])


def a_credit(engine: Engine, sequence: int, orderid: str, micros: int, *, at: datetime = NOON, **columns: Any) -> None:
    """Store an event by which an order's credit changed, under an id of its time."""
    kind = "recharge.succeeded" if micros > 0 else "recharge.adjusted"
    event_id = time_ordered_id("evt", at, sequence.to_bytes(10, "big"))
    changed = {"id": event_id, "type": kind, "created_at": at, "delta_micros": micros, "amount_micros": abs(micros)}
    an_event(engine, sequence, orderid=orderid, **changed | columns)


def an_endpoint(engine: Engine, **columns: Any) -> str:
    """Store an enabled endpoint that nobody owns; return its id."""
    usual = {
        "id": f"ep_{next(_numbers)}",
        "url": "https://shop.example/hook",
        "description": "",
        "format": "standard",
        "state": "enabled",
        "concurrency": 32,
        "secrets": "[]",
        "created_at": NOON,
    }
    return str(add(engine, rows.endpoints, **usual | columns))


def a_delivery(engine: Engine, event: int, endpoint: str, **columns: Any) -> int:
    """Store a delivery that is due; return its id."""
    usual = {
        "event_sequence": event,
        "endpoint_id": endpoint,
        "state": "pending",
        "attempts": 0,
        "failures": 0,
        "unknowns": 0,
        "due_at": NOON,
        "created_at": NOON,
    }
    return int(add(engine, rows.deliveries, **usual | columns))


def a_stored_callback(engine: Engine, **columns: Any) -> int:
    """Store a rejected request; return its id."""
    usual = {
        "source": "crossing",
        "verdict": "rejected",
        "reason": "bad_signature",
        "origin": "callback",
        "flags": "",
        "address": "203.0.113.7",
        "address_group": "203.0.113.7",
        "content_type": "application/x-www-form-urlencoded",
        "headers": "{}",
        "body": b"orderid=sh-1",
        "received_at": NOON,
    }
    return int(add(engine, rows.callbacks, **usual | columns))


def a_stored_order(engine: Engine, orderid: str, **columns: Any) -> int:
    """Store a credited order; return its row's id."""
    usual = {
        "namespace": "crossing",
        "orderid": orderid,
        "source": "crossing",
        "state": "succeeded",
        "version": 1,
        "user_ref": "1",
        "amount_micros": 3_000_000,
        "amount_raw": "30000",
        "credited_micros": 3_000_000,
        "registered": False,
        "flags": "",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return int(add(engine, rows.orders, **usual | columns))


def a_source_of_the_past(engine: Engine, name: str) -> None:
    """Record a source, with a namespace of its name, that is not configured."""
    add(engine, rows.source_states, name=name, namespace=name, created_at=NOON)


def a_break(engine: Engine, break_id: str, **columns: Any) -> str:
    """Store an open break of severity 2."""
    usual = {
        "id": break_id,
        "kind": "amount_mismatch",
        "severity": 2,
        "state": "open",
        "namespace": "crossing",
        "orderid": f"sh-{break_id}",
        "amount_micros": 1_000_000,
        "evidence": "{}",
        "first_seen": NOON,
        "last_seen": NOON,
    }
    return str(add(engine, rows.breaks, **usual | columns))


def a_provider_fact(engine: Engine, orderid: str, **columns: Any) -> None:
    """Store that the provider says an order is paid with 3 USDT."""
    usual = {
        "source": "crossing",
        "orderid": orderid,
        "namespace": "crossing",
        "via": "statement",
        "status": "succeeded",
        "raw_status": "paid",
        "amount_micros": 3_000_000,
        "amount_raw": "3",
        "unit_micros": 1,
        "occurred_at": NOON,
        "changed_at": NOON,
        "checked_at": NOON,
    }
    add(engine, rows.provider_facts, **usual | columns)


def a_heartbeat(engine: Engine, kind: str, seen_at: datetime) -> None:
    """Store a process's sign of life."""
    add(
        engine,
        rows.heartbeats,
        id=f"{kind}:host:1",
        kind=kind,
        host="host",
        pid=1,
        version="0.1.0",
        started_at=NOON,
        seen_at=seen_at,
    )


def a_stored_transfer(engine: Engine, tx: int, recipient: str, **columns: Any) -> str:
    """Store a final transfer of 3 USDT on ethereum whose order is looked for; return its hash."""
    usual = {
        "chain": "ethereum",
        "tx_hash": f"0x{tx:064x}",
        "log_index": 0,
        "block_number": tx,
        "block_hash": f"0x{tx:064x}",
        "block_time": NOON,
        "contract": "0x" + "a6" * 20,
        "sender": "0x" + "99" * 20,
        "recipient": recipient,
        "amount_micros": 3_000_000,
        "is_final": True,
        "seen_at": NOON,
        "look_at": NOON,
    }
    add(engine, rows.transfers, **usual | columns)
    return str((usual | columns)["tx_hash"])


def a_match(engine: Engine, tx_hash: str, orderid: str, **columns: Any) -> None:
    """Store that a transfer on ethereum paid an order."""
    usual = {
        "chain": "ethereum",
        "tx_hash": tx_hash,
        "log_index": 0,
        "namespace": "crossing",
        "orderid": orderid,
        "rule": "tx",
        "matched_at": NOON,
        "final_at": NOON,
    }
    add(engine, rows.matches, **usual | columns)


def an_address(engine: Engine, address: str, **columns: Any) -> str:
    """Enter an address where users pay to into the book; return it."""
    add(
        engine,
        rows.addresses,
        **{"chain": "ethereum", "address": address, "role": "deposit", "created_at": NOON} | columns,
    )
    return address
