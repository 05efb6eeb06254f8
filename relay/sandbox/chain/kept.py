"""Own what a chain leaves behind, so that the next start goes on with the same blocks: one SQLite file, written with each block."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from eth.db.backends.memory import MemoryDB

from relay.sandbox.chain.spelling import Block


class _State(MemoryDB):
    """The EVM's keys and values, which remembers what was written since it was saved."""

    def __init__(self, known: dict[bytes, bytes]) -> None:
        super().__init__(known)
        self.fresh: dict[bytes, bytes] = {}

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        self.fresh[key] = value


class Kept:
    """A chain's state and blocks. Without a path they end with the process. To be used under the chain's lock.

    A reader of a chain that begins anew would take it for the deepest of all reorgs.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level="IMMEDIATE")
        # A power cut may cost the demo's chain; a killed process may not.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
        self._file.execute("CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, block TEXT NOT NULL)")
        self.state = _State(dict(self._file.execute("SELECT key, value FROM state").fetchall()))

    def blocks(self) -> list[Block]:
        """Return the blocks that were saved, the first one first."""
        rows = self._file.execute("SELECT block FROM blocks ORDER BY number").fetchall()
        return [Block.from_text(text) for (text,) in rows]

    def append(self, block: Block) -> None:
        """Add a block; it is kept by the next `save`."""
        self._file.execute("INSERT INTO blocks VALUES (?, ?)", (block.number, block.as_text()))

    def cut(self, last: int) -> None:
        """Take back the blocks behind `last`."""
        self._file.execute("DELETE FROM blocks WHERE number > ?", (last,))

    def save(self) -> None:
        """Write what came since the last time, all of it or nothing."""
        self._file.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", self.state.fresh.items())
        self._file.commit()
        self.state.fresh.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
