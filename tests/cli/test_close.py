"""`relay close`: from a shell, with the same two persons."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from relay.core.days import Calendar
from relay.flows import close
from relay.store import people
from tests.cli.conftest import CommandLine
from tests.flows.test_close import DAY, NEXT, a_desk, a_paid_day, approved

LAST = datetime(2026, 10, 31, 12, tzinfo=UTC)
LAST_DAY = Calendar().day_at(LAST)


def test_a_day_is_closed_from_a_shell(relay: CommandLine, engine: Engine, tmp_path: Path) -> None:
    """Prepared elsewhere, approved here, exported, verified, opened again."""
    a_paid_day(engine)
    day = ("--day", DAY.name)
    relay("close", "approve", *day, "--manifest", "0", code=1)
    relay("close", "prepare", "--day", "monday", code=2)
    close.prepare(a_desk(engine), DAY, actor=people.person("pat", ["preparer"]), now=NEXT)
    (listed,) = relay.json("close", "list", *day, "--json")
    assert (listed["state"], listed["prepared_by"]) == ("prepared", "user:pat")
    assert "sealed by key" in relay("close", "approve", *day, "--manifest", listed["manifest_hash"]).output
    out = tmp_path / "evidence.zip"
    relay("close", "export", *day, "--out", str(out))
    assert "verify.py" in zipfile.ZipFile(out).namelist()
    assert relay("close", "verify", *day).output.splitlines()[-1] == "The evidence holds."
    relay("close", "reopen", *day, "--reason", "a late statement")
    assert "second person" in relay("close", "reopen", *day, code=1).output


def test_a_month_is_approved_from_a_shell(relay: CommandLine, engine: Engine) -> None:
    """Shown with what stands in the way; only what was read is approved."""
    a_paid_day(engine, at=LAST)
    close.prepare(a_desk(engine), LAST_DAY, actor=people.person("pat", ["preparer"]), now=LAST_DAY.end)
    relay("close", "month", "monday", code=2)
    assert "none of its days is sealed" in relay("close", "month", "2026-10").output
    approved(a_desk(engine), LAST_DAY, now=LAST_DAY.end)
    shown = relay("close", "month", "2026-10").output
    assert "1 of 1 days sealed" in shown
    assert "nothing is in the way" in shown
    relay("close", "month", "2026-10", "--manifest", "0", code=1)
    manifest = shown.split("manifest ")[1].split()[0]
    assert relay("close", "month", "2026-10", "--manifest", manifest).output.splitlines()[-1] == "approved"
