"""Own the files that a close keeps: orders, breaks and transfers as CSV, callbacks and acts as JSON Lines, and the evidence around them."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files as resources
from typing import Any

from sqlalchemy import Connection, RowMapping

from relay.core.amounts import format_micros
from relay.core.closing import canonical, cash_row
from relay.core.days import Day
from relay.core.events import rfc3339
from relay.core.exports import BREAKS, CASH, ITEMS, TRANSFERS, Column, Control, csv_of
from relay.store import audit, closes, day_facts, day_proofs, holds, orders

# Entries of a zip bear a time; ours is none, so that the same evidence is the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_MONEY = ("order.release", "recovery.release", "recovery.refuse", "transfer.credit")
_DECISIONS = ("order.release", "order.take", "break.resolve", "break.accept", "break.note", "break.assign")

Files = dict[str, tuple[str, bytes]]


def written(connection: Connection, day: Day, found: Sequence[RowMapping]) -> tuple[dict[str, Any], Files]:
    """Return what each file comes to, and the files with their SHA-256."""
    bounds = day_facts.callback_bounds(connection, day)
    tables: dict[str, tuple[Sequence[Column], Iterable[Mapping[Any, Any]]]] = {
        "orders.csv": (ITEMS, day_facts.items(connection, day)),
        "breaks.csv": (BREAKS, found),
        "transfers.csv": (TRANSFERS, closes.transfers_of(connection, day)),
        "cash.csv": (CASH, cash_rows(connection, day)),
    }
    lists: dict[str, Iterable[Mapping[str, Any]]] = {
        "callbacks.jsonl": map(_callback, closes.callbacks_of(connection, *bounds, day)),
        "audit.jsonl": map(_act, closes.acts_between(connection, day.start, day.end)),
    }
    controls, files = {}, {}
    for name, (columns, rows) in tables.items():
        control = Control()
        content = b"".join(csv_of(columns, rows, zone=day.zone, control=control, business_day=day.name))
        controls[name], files[name] = control.told(), content
    for name, lines in lists.items():
        control = Control()
        content = b"".join(control.add_bytes(f"{canonical(line)}\n".encode("utf-8", "replace")) for line in lines)
        controls[name], files[name] = control.told() | {"rows": content.count(b"\n")}, content
    return controls, {name: (controls[name]["sha256"], content) for name, content in files.items()}


def cash_rows(connection: Connection, day: Day) -> list[dict[str, Any]]:
    """Return the lines of a day's proof of cash, as a file writes them."""
    told = [cash_row(total) for total, _ in day_proofs.totals(connection, day)]
    return [row | {"lacking": canonical(row["lacking"])} for row in told]


def decisions(connection: Connection, day: Day, found: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Return what people decided: what moved money on the day, and everything about its breaks, in the order of the audit."""
    acts = [row for row in closes.acts_between(connection, day.start, day.end) if row["act"] in _MONEY]
    about: dict[str, Mapping[Any, Any]] = {one["id"]: one for one in found}
    about |= {f"{row['namespace']}/{row['orderid']}": row for row in holds.without_break(connection, day)}
    acts += audit.of_subjects(connection, list(about), acts=_DECISIONS)
    by_sequence = {row["sequence"]: row for row in acts}
    return [_decision(connection, by_sequence[number], about) for number in sorted(by_sequence)]


def _decision(connection: Connection, row: RowMapping, about: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any]:
    """An act with what it was about, how much that is, and why."""
    act, thing = _act(row), about.get(row["subject"], {})
    detail, micros = act["detail"], thing.get("amount_micros")
    if row["act"] == "order.release":
        micros = detail.get("micros") if detail.get("micros") is not None else _paid(connection, row["subject"])
    amount = None if micros is None else format_micros(micros)
    reason = detail.get("reason") or detail.get("note") or ""
    return {**act, "class": thing.get("kind", ""), "amount": detail.get("usdt") or amount, "reason": reason}


def _paid(connection: Connection, subject: str) -> int | None:
    """Return what came for the order that an act is about."""
    namespace, _, orderid = subject.partition("/")
    order = orders.find(connection, namespace, orderid)
    return None if order is None else order["amount_micros"]


def evidence(row: RowMapping, contents: Iterable[tuple[str, bytes]], keys: Sequence[RowMapping]) -> bytes:
    """Return the zip that an auditor verifies alone: manifest, seal, files, public keys, and the program that checks them."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        seal = {"sealed": row["sealed"], "signature": row["seal"], "key_id": row["key_id"]}
        _put(zipped, "manifest.json", row["manifest"].encode())
        _put(zipped, "seal.json", canonical(seal).encode())
        _put(zipped, "keys.json", canonical({"keys": public_keys(keys)}).encode())
        _put(zipped, "verify.py", resources("relay.evidence").joinpath("verify.py").read_bytes())
        for name, content in contents:
            _put(zipped, name, content)
    return target.getvalue()


def public_keys(keys: Sequence[RowMapping]) -> list[dict[str, str]]:
    """Return the public halves of the seal keys, the newest first."""
    return [
        {
            "id": key["id"],
            "algorithm": "Ed25519",
            "public_key": key["public"],
            "created_at": rfc3339(key["created_at"]),
        }
        for key in keys
    ]


def _put(zipped: zipfile.ZipFile, name: str, content: bytes) -> None:
    zipped.writestr(zipfile.ZipInfo(name, _NO_TIME), content, zipfile.ZIP_DEFLATED)


def _callback(row: RowMapping) -> dict[str, Any]:
    named = ("id", "source", "namespace", "orderid", "verdict", "status", "content_type", "query", "signature")
    body = None if row["body"] is None else b64encode(row["body"]).decode()
    headers = json.loads(row["headers"] or "{}")
    return {
        **{name: row[name] for name in named},
        "received_at": rfc3339(row["received_at"], timespec="microseconds"),
        "headers": headers,
        "body_base64": body,
    }


def _act(row: RowMapping) -> dict[str, Any]:
    named = ("sequence", "actor", "act", "subject", "previous_hash", "hash")
    at = rfc3339(row["at"], timespec="microseconds")
    return {**{name: row[name] for name in named}, "at": at, "detail": json.loads(row["detail"])}
