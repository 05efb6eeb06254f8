"""Own where the provider's book lies between two starts, so that an order of before is still known, called back and told of."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

from relay.sandbox.book import Entry


class Shelf:
    """Lines of a book in one SQLite file; without a path they end with the process. To be used under the book's lock."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A power cut may cost the demo's last orders; a killed process may not.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("CREATE TABLE IF NOT EXISTS lines (orderid TEXT PRIMARY KEY, line TEXT NOT NULL)")
        self._file.execute("CREATE TABLE IF NOT EXISTS began (once INTEGER PRIMARY KEY CHECK (once = 1), at_s REAL)")

    def began(self, now_s: float) -> float:
        """Return when the book was begun (Unix seconds): now, for a new one."""
        self._file.execute("INSERT OR IGNORE INTO began VALUES (1, ?)", (now_s,))
        [(at_s,)] = self._file.execute("SELECT at_s FROM began")
        return float(at_s)

    def lines(self) -> list[Entry]:
        """Return all lines, the oldest first."""
        found = self._file.execute("SELECT line FROM lines ORDER BY rowid").fetchall()
        return [Entry.of(json.loads(line)) for (line,) in found]

    def keep(self, entry: Entry) -> None:
        """Write a line as it is now."""
        known = "INSERT INTO lines VALUES (?, ?) ON CONFLICT (orderid) DO UPDATE SET line = excluded.line"
        self._file.execute(known, (entry.orderid, json.dumps(asdict(entry))))
