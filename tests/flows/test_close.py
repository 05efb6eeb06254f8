"""A day is closed by two persons, over bytes that stay; an auditor believes it without us."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from base64 import b64decode
from dataclasses import replace
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError

from relay.bootstrap import new_event_id
from relay.core.actors import Actor
from relay.core.chains import NodeURL
from relay.core.closing import canonical
from relay.core.days import Calendar
from relay.edge.seals import Sealer
from relay.errors import Conflict, Unprocessable
from relay.evidence import verify
from relay.flows import breaks, close, day_files, holds
from relay.flows.close import Desk
from relay.flows.days import day_named, statement_of
from relay.store import audit, closes, people, rows
from relay.store.engine import reading, writing
from tests.builders import NOON, a_source
from tests.fakes import numbered_ids
from tests.nodes.scripted import a_chain
from tests.rows import a_break, a_credit, a_person, a_stored_order, a_stored_transfer, add
from tests.store.test_day_facts import called

DAY = Calendar().day(date(2026, 11, 23))
NEXT = DAY.end + timedelta(hours=9)
PAT, AL = (people.person(name, [role]) for name, role in (("pat", "preparer"), ("al", "approver")))
SEALER = Sealer(b"7" * 32)
# What speaks of rules and not of the database is tried once.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def a_desk(engine: Engine) -> Desk:
    return Desk(engine, {"crossing": a_source()}, {}, Calendar(), new_event_id)


def a_paid_day(engine: Engine, *, at=NOON, orderid="sh-1", sequence=1) -> None:
    a_stored_order(engine, orderid)
    called(engine, orderid, 3_000_000, at=at)
    a_credit(engine, sequence, orderid, 3_000_000, at=at)


def approved(desk: Desk, day=DAY, *, actor: Actor = AL, accepted=(), now=NEXT) -> None:
    with reading(desk.engine) as connection:
        row = closes.current(connection, day.name)
    assert row is not None
    manifest = row["manifest_hash"]
    close.approve(
        desk, day, manifest_hash=manifest, accepted=accepted, sign=SEALER.sign, key_id=SEALER.id, actor=actor, now=now
    )


def state(engine: Engine, day=DAY) -> list[tuple[int, str]]:
    with reading(engine) as connection:
        assert audit.verify(connection) is None
        return [(row["version"], row["state"]) for row in closes.versions(connection, day.name)]


def evidence(engine: Engine, day=DAY) -> bytes:
    with writing(engine) as connection:
        if not closes.keys(connection):
            closes.add_key(connection, SEALER.id, SEALER.public, None, now=NOON)
    with reading(engine) as connection:
        row = closes.current(connection, day.name)
        assert row is not None
        target = io.BytesIO()
        day_files.evidence(target, row, closes.files(connection, day.name, row["version"]), closes.keys(connection))
    return target.getvalue()


def test_a_day_is_prepared_by_one_and_sealed_by_another(engine: Engine) -> None:
    """Whoever prepared it cannot approve it, and what was not prepared, or only before, cannot be."""
    desk = a_desk(engine)
    a_paid_day(engine)
    with pytest.raises(Conflict, match="not prepared"):
        close.approve(desk, DAY, manifest_hash="", accepted=(), sign=SEALER.sign, key_id="k", actor=AL, now=NEXT)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    with pytest.raises(Conflict, match="second person"):
        approved(desk, actor=PAT)
    with pytest.raises(Conflict, match="anew"):
        close.approve(desk, DAY, manifest_hash="0" * 64, accepted=(), sign=SEALER.sign, key_id="k", actor=AL, now=NEXT)
    approved(desk)
    assert state(engine) == [(1, "sealed")]
    for act in (lambda: close.prepare(desk, DAY, actor=PAT, now=NEXT), lambda: approved(desk)):
        with pytest.raises(Conflict):
            act()
    with reading(engine) as connection:
        (event,) = connection.execute(
            rows.events.select().where(rows.events.c.type == "reconciliation.report.ready")
        ).mappings()
    assert json.loads(event["body"])["data"]["day"] == "2026-11-23"


def test_the_database_itself_refuses_one_person_in_both_places(engine: Engine) -> None:
    """Whatever the code says."""
    desk = a_desk(engine)
    a_paid_day(engine)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(update(rows.day_closes).values(approved_by=PAT.id, state="sealed", seal="x"))
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(update(rows.day_closes).values(state="sealed"))


@ON_SQLITE
def test_the_same_facts_give_the_same_manifest(engine: Engine) -> None:
    """Byte for byte, whenever it is made."""
    desk = a_desk(engine)
    a_paid_day(engine)
    one, other = (
        close.draft(desk, DAY, version=1, previous=None, now=NEXT + timedelta(hours=hours)) for hours in (0, 5)
    )
    assert (one.manifest, one.files) == (other.manifest, other.files)
    assert json.loads(one.manifest)["bridge"]["relay"] == {"count": 1, "amount": "3.000000"}


def test_every_open_item_needs_owner_reason_and_amount(engine: Engine) -> None:
    """All that is lacking is told at once; a P1 is then accepted by name."""
    desk = a_desk(engine)
    a_paid_day(engine)
    a_person(engine, "pat", "preparer")
    a_break(engine, "b1", severity=1)
    a_break(engine, "b2", amount_micros=None, note="known", owner="pat")
    with pytest.raises(Conflict) as refused:
        close.prepare(desk, DAY, actor=PAT, now=NEXT)
    assert "crossing/sh-b1 needs an owner, a reason; amount mismatch of crossing/sh-b2 needs an amount" in str(
        refused.value
    )
    breaks.resolve(engine, "b2", "nothing after all", actor=PAT, now=NEXT, new_id=numbered_ids("act"))
    breaks.assign(engine, "b1", "pat", actor=PAT, now=NEXT)
    breaks.note(engine, "b1", "the provider looks into it", actor=PAT, now=NEXT)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    for accepted in ((), ("b2",), ("b1", "b2")):
        with pytest.raises(Conflict, match="accept each open P1 by name: b1"):
            approved(desk, accepted=accepted)
    approved(desk, accepted=("b1",))
    assert state(engine) == [(1, "sealed")]


def test_days_are_closed_one_after_the_other(engine: Engine) -> None:
    """One that is not over is not; the books begin with the first that was sealed, and each names the one before."""
    desk = a_desk(engine)
    before, after = (Calendar().day(date(2026, 11, day)) for day in (22, 24))
    a_paid_day(engine)
    with pytest.raises(Conflict, match="not over"):
        close.prepare(desk, DAY, actor=PAT, now=NOON)
    later = NEXT + timedelta(days=1)
    for day in (before, DAY, after):
        close.prepare(desk, day, actor=PAT, now=later)
    approved(desk)
    with pytest.raises(Conflict, match="prepare this one anew"):
        approved(desk, after)
    with pytest.raises(Conflict, match="the books begin with 2026-11-23"):
        approved(desk, before)
    close.prepare(desk, after, actor=PAT, now=later)
    approved(desk, after, now=later)
    with reading(engine) as connection:
        sealed = closes.sealed_days(connection)
        manifest = json.loads(closes.current(connection, after.name)["manifest"])  # type: ignore[index]  # it was sealed
        assert close.oldest_open(connection, Calendar(), later).name == "2026-11-25"
    assert manifest["previous"] == sealed["2026-11-23"]
    gap = Calendar().day(date(2026, 11, 26))
    close.prepare(desk, gap, actor=PAT, now=later + timedelta(days=3))
    with pytest.raises(Conflict, match="2026-11-25, is not sealed"):
        approved(desk, gap)


@ON_SQLITE
def test_the_books_of_an_old_database_begin_a_month_ago_at_most(engine: Engine) -> None:
    """Nobody has to close years."""
    a_paid_day(engine, at=NOON - timedelta(days=400))
    with reading(engine) as connection:
        assert close.oldest_open(connection, Calendar(), NOON).name == "2026-10-23"


@ON_SQLITE
def test_a_change_of_zone_binds_from_the_first_open_day(engine: Engine) -> None:
    """What is closed keeps its bounds; its neighbours begin and end there, without hole or overlap."""
    desk = a_desk(engine)
    a_paid_day(engine)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    moved = Calendar("Asia/Hong_Kong")
    with reading(engine) as connection:
        days = [day_named(connection, moved, DAY.date + timedelta(days=step)) for step in (-1, 0, 1, 2)]
    assert days[1] == DAY
    assert [one.end for one in days[:-1]] == [one.start for one in days[1:]]
    assert days[3] == moved.day(date(2026, 11, 25))


@ON_SQLITE
def test_a_day_is_closed_around_a_witness_only_with_a_reason(engine: Engine) -> None:
    """Which the manifest, and so the seal, speaks of; a reason where nothing is missing says nothing."""
    a_paid_day(engine)
    chain = a_chain(nodes=(NodeURL(name="own", url="https://node.example"),))
    desk = replace(a_desk(engine), chains={chain.name: chain})
    with pytest.raises(Conflict, match="was not read yet"):
        close.prepare(desk, DAY, actor=PAT, now=NEXT)
    close.prepare(desk, DAY, actor=PAT, now=NEXT, around="the node is being moved")
    with reading(engine) as connection:
        told = json.loads(closes.current(connection, DAY.name)["manifest"])  # type: ignore[index]  # it was prepared
    assert (told["closed_around"], len(told["incomplete"])) == ("the node is being moved", 1)
    approved(desk)
    with reading(engine) as connection:
        sealed = json.loads(closes.current(connection, DAY.name)["sealed"])  # type: ignore[index]  # as above
    assert sealed["closed_around"] == {"because": "the node is being moved", "incomplete": told["incomplete"]}
    clean = close.draft(a_desk(engine), DAY, version=1, previous=None, now=NEXT, around="no need")
    assert json.loads(clean.manifest)["closed_around"] == ""


@ON_SQLITE
def test_a_held_order_is_an_open_item_like_any_other(engine: Engine) -> None:
    """It has an owner and a reason before the day is closed, and both stand in the manifest; one with a break is its break."""
    a_paid_day(engine)
    a_person(engine, "pat", "preparer")
    a_stored_order(engine, "large", state="held", held_reason="above_limit", amount_micros=9_000_000)
    a_stored_order(engine, "disputed", state="held", held_reason="conflict")
    a_break(engine, "b1", orderid="disputed", owner="pat", note="asked the provider")
    with pytest.raises(Conflict, match="held of crossing/large needs an owner, a reason"):
        close.prepare(a_desk(engine), DAY, actor=PAT, now=NEXT)
    with pytest.raises(Conflict, match="not held"):
        holds.take(engine, "crossing", "sh-1", "pat", "for fun", actor=PAT, now=NEXT)
    holds.take(engine, "crossing", "large", "pat", "the user proves where it is from", actor=PAT, now=NEXT)
    close.prepare(a_desk(engine), DAY, actor=PAT, now=NEXT)
    with reading(engine) as connection:
        told = json.loads(closes.current(connection, DAY.name)["manifest"])  # type: ignore[index]  # it was prepared
    assert [(item["class"], item["owner"], item["amount"]) for item in told["open"]] == [
        ("amount_mismatch", "pat", "1.000000"),
        ("held", "pat", "9.000000"),
    ]
    assert [act["act"] for act in told["decisions"]] == ["order.take"]


@ON_SQLITE
def test_a_day_waits_for_a_complete_run(engine: Engine) -> None:
    """One that read short, or ended before the day did, has not seen all of it."""
    a_paid_day(engine)
    usual = {"kind": "incremental", "manifest": "{}", "manifest_hash": "5", "fence": 1}
    for state, at in (("complete", NOON), ("incomplete", NEXT)):
        add(engine, rows.runs, **usual, state=state, finished_at=at, last_checked=at)
    with pytest.raises(Conflict, match="no run of the reconciler was complete since the day's end"):
        close.prepare(a_desk(engine), DAY, actor=PAT, now=NEXT)
    add(engine, rows.runs, **usual, state="complete", finished_at=NEXT, last_checked=NEXT)
    close.prepare(a_desk(engine), DAY, actor=PAT, now=NEXT)


def test_the_clock_prepares_what_needs_nobody(engine: Engine) -> None:
    """One click by one person then closes it; a day on which anything is open waits for a preparer."""
    desk = a_desk(engine)
    a_paid_day(engine)
    assert close.by_clock(desk, now=DAY.end) == []
    assert close.by_clock(desk, now=NEXT) == ["2026-11-23"]
    assert close.by_clock(desk, now=NEXT) == []
    approved(desk, actor=PAT)
    a_break(engine, "b1", first_seen=DAY.end)
    assert close.by_clock(desk, now=NEXT + timedelta(days=1)) == []


def test_the_clock_prepares_a_day_anew_once_the_one_before_is_sealed(engine: Engine) -> None:
    """Else each day of a weekend would wait for a preparer: it names the seal that it follows."""
    desk, later = a_desk(engine), NEXT + timedelta(days=1)
    second = Calendar().day(date(2026, 11, 24))
    a_paid_day(engine)
    assert close.by_clock(desk, now=later) == ["2026-11-23", "2026-11-24"]
    approved(desk, actor=PAT, now=later)
    assert [close.by_clock(desk, now=later) for _ in range(2)] == [["2026-11-24"], []]
    approved(desk, second, now=later)
    assert state(engine, second) == [(1, "sealed")]


def test_the_clock_leaves_a_day_on_which_somebody_moved_money(engine: Engine) -> None:
    """However clean it is: a second person looks at what the first has done."""
    desk = a_desk(engine)
    a_paid_day(engine)
    with writing(engine) as connection:
        audit.append(connection, actor=AL.id, act="order.release", subject="crossing/sh-1", now=NOON)
    assert close.by_clock(desk, now=NEXT) == []
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    approved(desk)
    assert state(engine) == [(1, "sealed")]


def test_what_changed_since_is_told(engine: Engine) -> None:
    """Totals and breaks; the files are not written again for it."""
    desk = a_desk(engine)
    a_paid_day(engine)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    a_paid_day(engine, orderid="sh-late", sequence=2)
    a_break(engine, "b1")
    with reading(engine) as connection:
        row = closes.current(connection, DAY.name)
        statement = statement_of(connection, DAY, desk.sources, desk.chains, now=NEXT)
        told = close.since_prepared(connection, DAY, row, statement)  # type: ignore[arg-type]  # it was prepared
    assert told == ["provider: 3.000000 became 6.000000", "relay: 3.000000 became 6.000000", "1 item was opened"]


@ON_SQLITE
def test_a_manifest_of_an_older_release_is_still_read(engine: Engine) -> None:
    """Names that were added since are no difference."""
    desk = a_desk(engine)
    a_paid_day(engine)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    with reading(engine) as connection:
        kept = json.loads(closes.current(connection, DAY.name)["manifest"])  # type: ignore[index]  # it was prepared
    for name in ("closed_around", "incomplete", "chain_alone"):
        del kept[name]
    with writing(engine) as connection:
        connection.execute(update(rows.day_closes).values(manifest=canonical(kept)))
    with reading(engine) as connection:
        row = closes.current(connection, DAY.name)
        statement = statement_of(connection, DAY, desk.sources, desk.chains, now=NEXT)
        assert close.since_prepared(connection, DAY, row, statement) == []  # type: ignore[arg-type]  # it was prepared


def test_a_sealed_day_is_opened_again_by_two(engine: Engine) -> None:
    """With a reason; the sealed version stays, and the next one is another."""
    desk = a_desk(engine)
    a_paid_day(engine)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    with pytest.raises(Conflict, match="only a sealed day"):
        close.ask_to_reopen(desk, DAY, "because", actor=PAT, now=NEXT)
    approved(desk)
    with pytest.raises(Conflict, match="nobody has asked"):
        close.reopen(desk, DAY, actor=AL, now=NEXT)
    with pytest.raises(Unprocessable):
        close.ask_to_reopen(desk, DAY, " ", actor=AL, now=NEXT)
    close.ask_to_reopen(desk, DAY, "a statement came late", actor=AL, now=NEXT)
    with pytest.raises(Conflict, match="second person"):
        close.reopen(desk, DAY, actor=AL, now=NEXT)
    close.reopen(desk, DAY, actor=PAT, now=NEXT)
    assert state(engine) == [(1, "reopened")]
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    approved(desk)
    assert state(engine) == [(2, "sealed"), (1, "reopened")]


def test_the_first_day_of_the_books_is_sealed_anew_like_any_other(engine: Engine) -> None:
    """Later days are sealed, and none of them becomes the first meanwhile: what is open again is the oldest that waits."""
    desk, later = a_desk(engine), NEXT + timedelta(days=1)
    second = Calendar().day(date(2026, 11, 24))
    a_paid_day(engine)
    for day in (DAY, second):
        close.prepare(desk, day, actor=PAT, now=later)
        approved(desk, day, now=later)
    close.ask_to_reopen(desk, DAY, "a statement came late", actor=AL, now=later)
    close.reopen(desk, DAY, actor=PAT, now=later)
    with reading(engine) as connection:
        assert close.oldest_open(connection, Calendar(), later) == DAY
    close.prepare(desk, DAY, actor=PAT, now=later)
    approved(desk, now=later)
    assert state(engine) == [(2, "sealed"), (1, "reopened")]


@pytest.fixture
def archive(engine: Engine, tmp_path: Path) -> Path:
    """The evidence of a day with everything on it."""
    desk = a_desk(engine)
    a_paid_day(engine)
    a_stored_transfer(engine, 1, "0x" + "ab" * 20)
    a_person(engine, "pat", "preparer")
    a_break(engine, "b1", owner="pat", note="=cmd()")
    for number in range(3):
        breaks.note(engine, "b1", f"note {number}", actor=PAT, now=NOON)
    close.prepare(desk, DAY, actor=PAT, now=NEXT)
    approved(desk)
    path = tmp_path / "evidence.zip"
    path.write_bytes(evidence(engine))
    return path


def verified(path: Path, *arguments: str) -> tuple[int, str]:
    """Run the program from the archive as an auditor does: alone, without our code."""
    program = path.with_name("verify.py")
    with zipfile.ZipFile(path) as zipped:
        program.write_bytes(zipped.read("verify.py"))
    done = subprocess.run(
        [sys.executable, "-I", str(program), str(path), *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@ON_SQLITE
def test_an_auditor_verifies_it_alone(archive: Path) -> None:
    """With the key from elsewhere too; another key is told."""
    code, said = verified(archive, "--key", SEALER.public)
    assert (code, said.splitlines()[-1]) == (0, "The evidence holds.")
    assert "ok   orders.csv: relay_amount 3.000000" in said
    assert "ok   prepared by user:pat, approved by user:al" in said
    code, said = verified(archive, "--key", Sealer(b"8" * 32).public)
    assert (code, "BAD  seal" in said) == (1, True)


@ON_SQLITE
@pytest.mark.parametrize(
    "name",
    ["orders.csv", "breaks.csv", "transfers.csv", "callbacks.jsonl", "audit.jsonl", "manifest.json", "seal.json"],
)
def test_one_changed_byte_is_named(
    archive: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever file, near its end."""
    changed = BytesIO()
    with zipfile.ZipFile(archive) as zipped, zipfile.ZipFile(changed, "w") as again:
        for one in zipped.namelist():
            content = bytearray(zipped.read(one))
            if one == name:
                place = content.rindex(b"1")
                content[place] = ord("2")
            again.writestr(one, bytes(content))
    archive.write_bytes(changed.getvalue())
    monkeypatch.setattr(sys, "argv", ["verify.py", str(archive)])
    assert verify.main() == 1
    said = capsys.readouterr().out
    bad = [line for line in said.splitlines() if line.startswith("BAD")]
    assert bad
    assert any(name in line for line in bad) or name in ("manifest.json", "seal.json")


@ON_SQLITE
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_named(archive: Path) -> None:
    """The true one behind a false one: what was verified is not what somebody opens."""
    doubled = BytesIO()
    with zipfile.ZipFile(archive) as zipped, zipfile.ZipFile(doubled, "w") as again:
        again.writestr("orders.csv", "orderid\r\n")
        for one in zipped.namelist():
            again.writestr(one, zipped.read(one))
    archive.write_bytes(doubled.getvalue())
    code, said = verified(archive)
    assert (code, "orders.csv is there twice" in said) == (1, True)


def test_signatures_are_judged_as_a_library_judges_them() -> None:
    """The program's own arithmetic against the one that signed."""
    for number in range(3):
        sealer = Sealer(bytes([number]) * 32)
        public, signature = (b64decode(text) for text in (sealer.public, sealer.sign("a day")))
        assert verify.signature_holds(public, b"a day", signature)
        assert not verify.signature_holds(public, b"another day", signature)
        assert not verify.signature_holds(public, b"a day", signature[:-1] + b"\xff")
        assert not verify.signature_holds(b"\xff" * 32, b"a day", signature)
