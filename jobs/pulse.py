"""Own the signs of life of a long-lived process."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from relay import __version__
from relay.errors import Unavailable
from relay.store.engine import LEAVING_LOCK, writing
from relay.store.heartbeats import beat, leave

log = logging.getLogger(__name__)

EVERY_S = 10.0
UNWELL_S = 0.5
# With a worker's patience this stays below the 30 s after which platforms kill.
LEAVE_WITHIN_S = 2.0


class Pulse:
    """Writes a heartbeat at once and every EVERY_S while the process lives and `is_well`, from a thread of its own.

    A process that forks must not have one: its child would inherit the connection in mid-use.
    """

    def __init__(self, engine: Engine, kind: str, *, is_well: Callable[[], bool]) -> None:
        self._engine = engine
        self._who: dict[str, Any] = {"kind": kind, "host": socket.gethostname(), "pid": os.getpid()}
        self._is_well = is_well
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="pulse", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take leave, so that nobody misses a process that was asked to end beside others; without the database it is missed."""
        self._ended.set()
        self._thread.join(LEAVE_WITHIN_S)
        if not self._thread.is_alive():
            self._written(lambda connection: leave(connection, **self._who, now=datetime.now(UTC)), lock=LEAVING_LOCK)

    def _beat_on(self) -> None:
        started_at = datetime.now(UTC)
        while not self._ended.is_set():
            if not self._is_well():
                self._ended.wait(UNWELL_S)
                continue
            self._written(
                lambda connection: beat(
                    connection, **self._who, version=__version__, started_at=started_at, now=datetime.now(UTC)
                )
            )
            self._ended.wait(EVERY_S)

    def _written(self, write: Callable[[Connection], None], *, lock: int | None = None) -> None:
        try:
            with writing(self._engine, lock=lock) as connection:
                write(connection)
        except (Unavailable, SQLAlchemyError):
            log.warning("heartbeat_not_written")
