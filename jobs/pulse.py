"""Own the signs of life of a long-lived process."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from relay import __version__
from relay.bootstrap import now
from relay.errors import Unavailable
from relay.store.engine import writing
from relay.store.heartbeats import beat

log = logging.getLogger(__name__)

EVERY_S = 10.0
UNWELL_S = 0.5


def start_pulse(engine: Engine, kind: str, *, is_well: Callable[[], bool]) -> None:
    """Write a heartbeat at once and every EVERY_S while the process lives and `is_well`, from a thread of its own.

    A process that forks must not have one: its child would inherit the connection in mid-use.
    """
    threading.Thread(target=_beat_on, args=(engine, kind, is_well), name="pulse", daemon=True).start()


def _beat_on(engine: Engine, kind: str, is_well: Callable[[], bool]) -> None:
    started_at = now()
    pause = threading.Event()
    while True:
        while not is_well():
            pause.wait(UNWELL_S)
        try:
            with writing(engine) as connection:
                beat(
                    connection,
                    kind=kind,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    version=__version__,
                    started_at=started_at,
                    now=now(),
                )
        except (Unavailable, SQLAlchemyError):
            log.warning("heartbeat_not_written")
        pause.wait(EVERY_S)
