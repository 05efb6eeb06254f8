"""Own the files that a close keeps: orders, breaks and transfers as CSV, callbacks and acts as JSON Lines, and the evidence around them."""

from __future__ import annotations

import json
import zipfile
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, RowMapping

from relay.core.amounts import format_micros
from relay.core.closing import canonical, cash_row
from relay.core.days import Day
from relay.core.events import rfc3339
from relay.core.exports import BREAKS, CASH, ITEMS, TRANSFERS, Column, Control, csv_of
from relay.store import audit, closes, day_facts, day_proofs, holds, orders

# Entries of a zip bear a time; ours is none, so that the same evidence is the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
# What an approver is shown of the audit: acts that moved money, and those on the day's breaks and holds.
MONEY = ("order.release", "order.correct", "recovery.release", "recovery.refuse", "transfer.credit")
DECISIONS = (
    "order.release",
    "order.correct",
    "order.take",
    "break.resolve",
    "break.accept",
    "break.note",
    "break.assign",
)

Files = dict[str, tuple[str, Path]]


def written(connection: Connection, day: Day, folder: Path | None) -> tuple[dict[str, Any], Files]:
    """Write the files of a day to a folder; return what each comes to, and each with its SHA-256.

    Without a folder nothing is written, and only what they come to is returned.
    """
    controls, files = {}, {}
    for name, pieces_of in _files(connection, day).items():
        control = Control()
        pieces = pieces_of(control)
        if folder is None:
            deque(pieces, maxlen=0)
        else:
            with (folder / name).open("wb") as file:
                file.writelines(pieces)
        controls[name] = control.told()
        files[name] = (controls[name]["sha256"], (folder or Path()) / name)
    return controls, {} if folder is None else files


def _files(connection: Connection, day: Day) -> dict[str, Callable[[Control], Iterator[bytes]]]:
    """Return for each file what spells it, a piece at a time."""
    bounds = day_facts.callback_bounds(connection, day)

    def table(columns: Sequence[Column], rows: Iterable[Mapping[Any, Any]]) -> Callable[[Control], Iterator[bytes]]:
        return lambda control: csv_of(columns, rows, zone=day.zone, control=control, business_day=day.name)

    def lines(told: Iterable[Mapping[str, Any]]) -> Callable[[Control], Iterator[bytes]]:
        return lambda control: _lines(told, control)

    return {
        "orders.csv": table(ITEMS, day_facts.items(connection, day)),
        "breaks.csv": table(BREAKS, closes.breaks_of(connection, day)),
        "transfers.csv": table(TRANSFERS, closes.transfers_of(connection, day)),
        "cash.csv": table(CASH, cash_rows(connection, day)),
        "callbacks.jsonl": lines(map(_callback, closes.callbacks_of(connection, *bounds, day))),
        "audit.jsonl": lines(map(_act, closes.acts_between(connection, day.start, day.end))),
    }


def _lines(told: Iterable[Mapping[str, Any]], control: Control) -> Iterator[bytes]:
    for line in told:
        control.rows += 1
        yield control.add_bytes(f"{canonical(line)}\n".encode("utf-8", "replace"))


def cash_rows(connection: Connection, day: Day) -> list[dict[str, Any]]:
    """Return the lines of a day's proof of cash, as a file writes them."""
    told = [cash_row(total) for total, _ in day_proofs.totals(connection, day)]
    return [row | {"lacking": canonical(row["lacking"])} for row in told]


def decisions(connection: Connection, day: Day, found: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Return what people decided: what moved money on the day, and everything about its breaks, in the order of the audit."""
    acts = [row for row in closes.acts_between(connection, day.start, day.end) if row["act"] in MONEY]
    about: dict[str, Mapping[Any, Any]] = {one["id"]: one for one in found}
    about |= {f"{row['namespace']}/{row['orderid']}": row for row in holds.without_break(connection, day)}
    acts += audit.of_subjects(connection, list(about), acts=DECISIONS)
    by_sequence = {row["sequence"]: row for row in acts}
    return [_decision(connection, by_sequence[number], about) for number in sorted(by_sequence)]


def _decision(connection: Connection, row: RowMapping, about: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any]:
    """An act with what it was about, how much that is, and why."""
    act, thing = _act(row), about.get(row["subject"], {})
    detail, micros = act["detail"], thing.get("amount_micros")
    if row["act"] in ("order.release", "order.correct"):
        micros = detail.get("micros") if detail.get("micros") is not None else _paid(connection, row["subject"])
    amount = None if micros is None else format_micros(micros)
    reason = detail.get("reason") or detail.get("note") or ""
    return {**act, "class": thing.get("kind", ""), "amount": detail.get("usdt") or amount, "reason": reason}


def _paid(connection: Connection, subject: str) -> int | None:
    """Return what came for the order that an act is about."""
    namespace, _, orderid = subject.partition("/")
    order = orders.find(connection, namespace, orderid)
    return None if order is None else order["amount_micros"]


def evidence(
    target: IO[bytes], row: RowMapping, contents: Iterable[tuple[str, Iterable[bytes]]], keys: Sequence[RowMapping]
) -> None:
    """Write the zip that an auditor verifies alone: manifest, seal, files, public keys, and the program that checks them."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        seal = {"sealed": row["sealed"], "signature": row["seal"], "key_id": row["key_id"]}
        _put(zipped, "manifest.json", [row["manifest"].encode()])
        _put(zipped, "seal.json", [canonical(seal).encode()])
        _put(zipped, "keys.json", [canonical({"keys": public_keys(keys)}).encode()])
        _put(zipped, "verify.py", [resources("relay.evidence").joinpath("verify.py").read_bytes()])
        for name, pieces in contents:
            _put(zipped, name, pieces)


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


def _put(zipped: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipped.open(entry, "w") as file:
        for piece in pieces:
            file.write(piece)


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
