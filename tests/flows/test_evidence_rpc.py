"""An auditor reads every transfer again from a node of their own: one changed byte, transfer or block is named."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from relay.core.days import Calendar
from relay.evidence import verify
from relay.flows import close
from relay.sandbox.chain.driver import SandboxChain
from tests.flows.test_close import AL, ON_SQLITE, PAT, a_desk, a_paid_day, approved, evidence
from tests.rows import a_stored_transfer
from tests.system import free_port

SHOP = "0x" + "5a" * 20


@pytest.fixture
def archive(engine: Engine, sandbox_chain: SandboxChain, tmp_path: Path) -> Path:
    """The evidence of a day with two transfers of a real chain, in blocks of their own."""
    desk = a_desk(engine)
    moments = [_moved(engine, sandbox_chain, micros) for micros in (12_345_678, 3_000_000)]
    a_paid_day(engine, at=moments[0])
    day = Calendar().day_at(moments[0])
    close.prepare(desk, day, actor=PAT, now=day.end)
    approved(desk, day, actor=AL, now=day.end)
    path = tmp_path / "evidence.zip"
    path.write_bytes(evidence(engine, day))
    return path


def _moved(engine: Engine, chain: SandboxChain, micros: int) -> datetime:
    """Move money on the chain, and store it as a scan does; return the block's time."""
    tx_hash = chain.transfer(chain.accounts[1], SHOP, micros)
    chain.mine()
    (log,) = chain.rpc("eth_getTransactionReceipt", tx_hash)["logs"]
    block = chain.rpc("eth_getBlockByNumber", log["blockNumber"], False)
    moment = datetime.fromtimestamp(int(block["timestamp"], 16), UTC)
    a_stored_transfer(
        engine,
        0,
        SHOP,
        tx_hash=tx_hash,
        log_index=int(log["logIndex"], 16),
        block_number=int(log["blockNumber"], 16),
        block_hash=log["blockHash"],
        block_time=moment,
        contract=log["address"].lower(),
        sender=f"0x{log['topics'][1][-40:]}",
        amount_micros=micros,
    )
    return moment


def audited(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *rpc: str) -> list[str]:
    """The lines that fail; the program's end says the same."""
    arguments = [part for one in rpc for part in ("--rpc", one)]
    monkeypatch.setattr(sys, "argv", ["verify.py", str(path), *arguments])
    code = verify.main()
    said = capsys.readouterr().out.splitlines()
    bad = [line for line in said if line.startswith("BAD")]
    assert (code, said[-1]) == ((1, "The evidence does not hold.") if bad else (0, "The evidence holds."))
    return bad


@ON_SQLITE
def test_the_node_agrees(
    archive: Path, sandbox_chain: SandboxChain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a URL for the chain, or for all; without one it is said that nothing was read again."""
    for rpc in ((sandbox_chain.url,), (f"ethereum={sandbox_chain.url}",), ("tron=http://127.0.0.1:1",), ()):
        assert audited(archive, monkeypatch, capsys, *rpc) == []
    (bad, _) = audited(archive, monkeypatch, capsys, f"http://127.0.0.1:{free_port()}")
    assert "the node does not answer" in bad


LIES: list[tuple[str, Callable[[str], str], str]] = [
    ("tx_hash", lambda one: one[:-1] + ("0" if one[-1] != "0" else "1"), "knows no such transaction"),
    ("block_hash", lambda one: one[:-1] + ("0" if one[-1] != "0" else "1"), "block is "),
    ("block_number", lambda one: str(int(one) - 1), "block number is "),
    ("block_time_utc", lambda one: one.replace("20", "19", 1), "block time is "),
    ("log_index", lambda _: "7", "no transfer is logged at that place"),
    ("contract", lambda _: "0x" + "12" * 20, "contract is "),
    ("sender", lambda _: "0x" + "12" * 20, "sender is "),
    ("recipient", lambda _: "0x" + "12" * 20, "recipient is "),
    ("amount", lambda _: "12.345679", "amount is 12345678 there"),
]


@ON_SQLITE
def test_one_changed_field_of_a_transfer_is_named(
    archive: Path, sandbox_chain: SandboxChain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With both values; the other transfer still holds."""
    with zipfile.ZipFile(archive) as zipped:
        text = zipped.read("transfers.csv").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    place = next(number for number, row in enumerate(rows) if row["amount"] == "12.345678")
    for column, lie, words in LIES:
        report = verify.Report()
        told = [{**row, column: lie(row[column])} if number == place else row for number, row in enumerate(rows)]
        verify.check_transfers(report, _spelled(told), {"": sandbox_chain.url})
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("BAD")]
        assert report.failed
        assert len(lines) == 1, column
        assert words in lines[0], column


@ON_SQLITE
def test_a_block_that_is_gone_is_named(
    archive: Path, sandbox_chain: SandboxChain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chain that was rewritten since has another block there."""
    sandbox_chain.reorg(1)
    (bad,) = audited(archive, monkeypatch, capsys, sandbox_chain.url)
    assert "block is " in bad or "knows no such transaction" in bad


def _spelled(rows: list[dict[str, str]]) -> bytes:
    target = io.StringIO(newline="")
    written = csv.DictWriter(target, list(rows[0]))
    written.writeheader()
    written.writerows(rows)
    return target.getvalue().encode()
