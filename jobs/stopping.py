"""Own the wish of the platform that this process should end; it may come several times, and counts once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
REMIND_EVERY_S = 1.0


class Stop:
    """Remembers that a stop was asked for. The signals are heard by the main thread alone."""

    def __init__(self) -> None:
        self.asked = False
        self._tell: Callable[[], None] | None = None

    def install(self) -> None:
        """Hear the signals from now on, in place of whoever heard them before."""
        for number in _SIGNALS:
            signal.signal(number, self._hear)

    @contextmanager
    def told_to(self, tell: Callable[[], None]) -> Iterator[None]:
        """Hear the signals while the block runs, and call `tell` at each, also for one that came before.

        Afterwards whoever heard them before does so again, and is passed on
        what came meanwhile.
        """
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._tell = tell
        self.install()
        if self.asked:
            tell()
        try:
            yield
        finally:
            self._tell = None
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.asked:
                signal.raise_signal(signal.SIGTERM)

    def deafen(self) -> None:
        """Hear nothing any more: Python lets go of handlers before it ends, and a late repeat would kill it there."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _hear(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._tell is not None:
            self._tell()


STOP = Stop()


def stop_with_parent() -> None:
    """Stop when the parent is gone: it holds the other end of our standard input, and never writes."""
    threading.Thread(target=_await_end_of_input, name="parent-watch", daemon=True).start()


def _await_end_of_input() -> None:
    # Not through sys.stdin, whose lock a thread must not hold when Python ends.
    while os.read(0, 1024):
        pass
    # Again and again, as the parent would: who was just handing its signals over may not have heard the first.
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(REMIND_EVERY_S)
