"""The files of a close: written, kept and handed out piece by piece, so that a large day costs no more memory than a small one."""

from __future__ import annotations

import random
import tracemalloc
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from relay.flows import close, day_files
from relay.store import closes, file_parts
from relay.store.engine import reading
from tests.builders import NOON
from tests.flows.test_close import DAY, NEXT, a_desk

PART, CALLBACKS, BODY = 256 * 1024, 4_000, 3_000
MEGABYTE = 1024 * 1024


def many_callbacks(*_: Any) -> Iterator[dict[str, Any]]:
    """Requests that nothing can compress, sixteen megabytes as a file writes them."""
    source = random.Random(7)
    names = ("source", "namespace", "orderid", "verdict", "status", "content_type", "query", "signature", "headers")
    for number in range(CALLBACKS):
        yield {"id": number, "received_at": NOON, "body": source.randbytes(BODY)} | dict.fromkeys(names)


@pytest.fixture
def large(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A prepared day with a file of sixteen megabytes, kept in parts of a quarter of one."""
    monkeypatch.setattr(closes, "callbacks_of", many_callbacks)
    monkeypatch.setattr(file_parts, "PART", PART)
    tracemalloc.start()
    close.prepare(a_desk(engine), DAY, actor=None, now=NEXT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MEGABYTE
    return engine


def test_what_is_kept_in_parts_is_what_was_written(large: Engine) -> None:
    """To the byte, as its SHA-256 says; a small file is one piece."""
    with reading(large) as connection:
        row = closes.current(connection, DAY.name)
        assert row is not None
        pieces = list(closes.pieces(connection, DAY.name, row["version"], "callbacks.jsonl"))
        small = list(closes.pieces(connection, DAY.name, row["version"], "orders.csv"))
    assert '"callbacks.jsonl":{"bytes":' in row["manifest"]
    assert sum(map(len, pieces)) > 15 * MEGABYTE
    assert max(map(len, pieces)) == PART
    assert sha256(b"".join(pieces)).hexdigest() in row["manifest"]
    assert len(small) == 1


def test_evidence_of_a_large_day_needs_little_memory(large: Engine, tmp_path: Path) -> None:
    """It is written a piece at a time; a day that is prepared anew leaves no part of before behind."""
    tracemalloc.start()
    with reading(large) as connection, (tmp_path / "evidence.zip").open("wb") as target:
        row = closes.current(connection, DAY.name)
        assert row is not None
        day_files.evidence(target, row, closes.files(connection, DAY.name, row["version"]), [])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MEGABYTE
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        assert archive.testzip() is None
        assert sha256(archive.read("callbacks.jsonl")).hexdigest() in row["manifest"]
    close.prepare(a_desk(large), DAY, actor=None, now=NEXT)


def test_a_draft_without_a_folder_writes_nothing(engine: Engine) -> None:
    """And comes to the same manifest as the one that is kept."""
    made = close.draft(a_desk(engine), DAY, version=1, previous=None, now=NEXT)
    close.prepare(a_desk(engine), DAY, actor=None, now=NEXT)
    with reading(engine) as connection:
        row = closes.current(connection, DAY.name)
    assert (row is not None and row["manifest"], made.files) == (made.manifest, {})
