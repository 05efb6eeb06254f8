"""What a stranger wrote, in any stored field, changes no page and no spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from flask_openapi3 import OpenAPI
from openpyxl.reader.excel import load_workbook
from sqlalchemy import String, Table, update
from sqlmodel import AutoString

from relay.bootstrap import Runtime, desk_of
from relay.core.actors import Actor
from relay.core.chains import NodeURL
from relay.core.closing import digest
from relay.flows import close
from relay.store import audit, closes, holds, provider_answers, rows
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.rows import (
    a_break,
    a_credit,
    a_delivery,
    a_match,
    a_provider_fact,
    a_session,
    a_stored_callback,
    a_stored_order,
    a_stored_transfer,
    add,
    an_address,
    an_endpoint,
    an_event,
)
from tests.web.conftest import Visitor

HARMLESS = "words"
AFTER, BEFORE = NOON + timedelta(days=1), (NOON - timedelta(days=1)).date()
HOSTILE = (
    "=1+1",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    '"\'><b>\u202e=HYPERLINK("https://evil.example")' + "x" * 10_000,
)
# Every field of the tables that finance reads which comes from outside or from somebody's keyboard. What is JSON is told below.
FREE: Mapping[Table, tuple[str, ...]] = {
    rows.orders: ("user_ref", "provider_order_id", "held_reason", "appid", "amount_raw", "notify_url"),
    rows.callbacks: (
        *("user_ref", "provider_order_id", "tx_hash", "reason", "query", "content_type", "appid", "address"),
        *("amount_raw", "address_group", "request_id"),
    ),
    rows.provider_facts: ("raw_status", "provider_order_id", "amount_raw", "tx_hash"),
    rows.creations: ("error", "answer"),
    rows.breaks: ("owner", "note", "resolved_by"),
    rows.deliveries: ("last_error", "lease_owner"),
    rows.endpoints: ("url", "description", "state_reason", "appid", "user_prefix"),
    rows.runs: ("reason",),
    rows.events: ("user_ref", "appid", "notify_url"),
    rows.hold_notes: ("owner", "note"),
    rows.matches: ("rule", "flags"),
    rows.recoveries: ("decided_by", "tx_hash"),
    rows.asked_acts: ("asked_by", "reason"),
    rows.chains: ("trouble", "stopped"),
    rows.addresses: ("owner", "namespace"),
    rows.day_closes: ("reopen_asked_by", "reopen_reason"),
    rows.workbooks: ("asked_by",),
}
# The others of these tables: keys, words of our own, hashes and machine spellings, and what is told as JSON below.
OURS = frozenset(
    (
        "id",
        "state",
        "kind",
        "namespace",
        "orderid",
        "source",
        "chain",
        "subject",
        "address",
        "tx_hash",
        "block_hash",
        "hash",
        "final_hash",
        "name",
        "day",
        "version",
        "zone",
        "type",
        "act",
        "decided_by",
        "orders",
        "status",
        "verdict",
        "part",
        "secret_id",
        "origin",
        "headers",
        "via",
        "said",
        "call",
        "fields",
        "format",
        "signing",
        "event_types",
        "sources",
        "any_flags",
        "secrets",
        "owner_key_id",
        "endpoint_id",
        "manifest",
        "manifest_hash",
        "body",
        "evidence",
        "role",
        "prepared_by",
        "approved_by",
        "sealed",
        "seal",
        "key_id",
        "reopened_by",
        "content",
        "flags",
        "signature",
    )
)
PAGES = (
    "/finance/2026-11-22",
    "/finance/2026-11-23",
    "/finance/2026-11-23/orders",
    "/finance/2026-11-23/orders?reason=held",
    "/finance/breaks",
    "/finance/breaks/b1",
    "/finance/orders",
    "/finance/orders/crossing/sh-1",
    "/finance/orders/crossing/sh-2",
    "/finance/runs",
    "/finance/runs/1",
    "/finance/brakes",
    "/finance/recovered?to=2026-11-23",
    "/finance/2026-11-23/cash",
    "/finance/2026-11",
    "/finance/trend",
    "/finance/audit",
    "/console",
)


# Each round of the test adds an act, which adds rows of a kind that is there already.
GROWING = ("/finance/audit", "/finance/breaks/b1", "/finance/2026-11-23")


class Skeleton(HTMLParser):
    """The tags of a page with the names of their attributes: what a browser would build."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note one; what a link leads to may change, that there is one may not."""
        self.tags.append((tag, *(name for name, _ in attributes)))


@pytest.fixture
def visitor(runtime: Runtime, app: OpenAPI, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """An auditor's browser, who sees everything, over a day on which one thing of each kind happened, and a sealed one before."""
    engine = runtime.engine
    tron = replace(runtime.settings.chains["tron"], nodes=(NodeURL(name="1", url="http://127.0.0.1:1"),))
    a_stored_order(engine, "sh-1", state="held", held_reason=HARMLESS, credited_micros=0, created_at=NOON)
    called = {"namespace": "crossing", "status": "succeeded", "amount_micros": 3_000_000, "received_at": NOON}
    a_stored_callback(engine, verdict="accepted", reason=None, orderid="sh-1", **called)
    a_stored_order(engine, "sh-2")
    a_stored_callback(engine, verdict="accepted", reason=None, orderid="sh-2", **called)
    a_provider_fact(engine, "sh-2")
    a_match(engine, a_stored_transfer(engine, 7, "0x" + "5" * 40), "sh-2")
    a_credit(engine, 1, "sh-2", 3_000_000)
    an_event(engine, 2, orderid="sh-1", type="recharge.held")
    a_delivery(engine, 2, an_endpoint(engine))
    a_sealed_day(runtime)
    monkeypatch.setitem(runtime.settings.chains, "tron", tron)
    add(
        engine,
        rows.chains,
        name="tron",
        chain_id=1,
        stopped=HARMLESS,
        trouble=HARMLESS,
        scanned_at=AFTER,
        final_number=7,
    )
    made = {"fields": "{}", "state": "done", "due_at": NOON, "created_at": NOON, "error": HARMLESS}
    add(engine, rows.creations, namespace="crossing", orderid="sh-2", source="crossing", call="create", **made)
    add(engine, rows.workbooks, id="exp_1", day="2026-11-23", asked_by=HARMLESS, asked_at=NOON)
    a_break(engine, "b1", orderid="sh-2", evidence=json.dumps({"callback": HARMLESS}))
    run = {"kind": "incremental", "state": "complete", "manifest_hash": "5" * 64, "fence": 1}
    told = '"judged": {}, "micros": {}, "open": {}, "opened": 0, "cleared": 0, "rules": 1, "orders_sha256": ""'
    manifest = f'{{"cut": {{"callback": 1, "event": 1, "chains": {{}}}}, {told}}}'
    add(engine, rows.runs, **run, manifest=manifest, finished_at=AFTER, last_checked=AFTER)
    found = {
        "namespace": "crossing",
        "source": "crossing",
        "evidence": "{}",
        "found_at": NOON,
        "amount_micros": 9_000_000,
    }
    add(engine, rows.recoveries, orderid="lost", state="stopped", **found)
    add(engine, rows.recoveries, orderid="sh-2", state="applied", applied_at=NOON, **found)
    wish = {"id": "act_1", "subject": "crossing/sh-1", "source": "crossing", "orderid": "sh-1", "act": "credit"}
    add(engine, rows.asked_acts, state="asked", asked_by=HARMLESS, reason=HARMLESS, asked_at=NOON, **wish)
    an_address(engine, "0x" + "5" * 40)
    with writing(engine) as connection:
        provider_answers.heard(connection, "crossing", ("crossing", "sh-2"), "unclear", {}, now=NOON)
        holds.keep(connection, "crossing", "sh-1", owner=HARMLESS, note=HARMLESS, now=NOON)
    return Visitor(app.test_client(), a_session(engine, "aud", "auditor"))


def a_sealed_day(runtime: Runtime) -> None:
    """The day before, on which nothing happened; somebody asks to open it again."""
    desk = desk_of(runtime)
    day, al = desk.calendar.day(BEFORE), Actor(id="user:al", name="al", roles=frozenset({"approver"}))
    close.prepare(desk, day, actor=None, now=AFTER)
    with reading(runtime.engine) as connection:
        row = closes.current(connection, day.name)
    assert row is not None
    close.approve(
        desk,
        day,
        manifest_hash=row["manifest_hash"],
        accepted=(),
        sign=digest,
        key_id="key",
        actor=al,
        now=AFTER,
    )
    close.ask_to_reopen(desk, day, HARMLESS, actor=al, now=AFTER)


def told(runtime: Runtime, text: str) -> None:
    """Write a text into every free field, let somebody say it, and prepare the day with it."""
    with writing(runtime.engine) as connection:
        for table, columns in FREE.items():
            written = connection.execute(update(table).values(dict.fromkeys(columns, text)))
            assert written.rowcount, table.name
        evidence = json.dumps({"callback": text, "provider": text})
        connection.execute(update(rows.breaks).values(evidence=evidence))
        connection.execute(update(rows.recoveries).values(evidence=evidence))
        connection.execute(update(rows.provider_answers).values(content=evidence))
        actor = Actor(id=text, name=text, roles=frozenset())
        audit.append(connection, actor=actor.id, act="break.note", subject="b1", now=NOON, detail={"note": text})
    desk = desk_of(runtime)
    close.prepare(desk, desk.calendar.day(NOON.date()), actor=None, now=AFTER, around=text)


def test_every_text_of_these_tables_is_judged() -> None:
    """A new column is either free, and then told below, or of our own making."""
    unknown = {
        f"{table.name}.{column.name}"
        for table in FREE
        for column in table.c
        if isinstance(column.type, AutoString | String) and column.name not in OURS.union(FREE[table])
    }
    assert unknown == set()


def test_no_stored_text_changes_a_page_or_a_spreadsheet(runtime: Runtime, visitor: Visitor) -> None:
    """Each page has the tags that it has with harmless words; no cell is a formula or a link, and the totals stand."""
    told(runtime, HARMLESS)
    before = {path: Skeleton(visitor.read(path)).tags for path in PAGES}
    for text in HOSTILE:
        told(runtime, text)
        for path in PAGES:
            tags = Skeleton(visitor.read(path)).tags
            assert set(tags) == set(before[path]), (path, text[:20])
            assert len(tags) == len(before[path]) or path in GROWING, path
    assert_no_formula(visitor)


def assert_no_formula(visitor: Visitor) -> None:
    """Whatever opens them."""
    for name in ("statement", "orders", "breaks", "pending", "transfers", "cash"):
        for row in csv.reader(io.StringIO(visitor.get(f"/finance/2026-11-23/{name}.csv").text, newline="")):
            assert not [cell for cell in row if cell.lstrip().startswith(("=", "+", "@"))], name
    told = visitor.get("/finance/2026-11-23/statement.xlsx").data
    book = load_workbook(io.BytesIO(told))
    cells = [cell for sheet in book for line in sheet.iter_rows() for cell in line]
    assert not [cell for cell in cells if cell.hyperlink]
    formulas = [str(cell.value) for cell in cells if cell.data_type == "f"]
    assert all(formula.startswith("=SUM(") for formula in formulas)
