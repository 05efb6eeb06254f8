"""Own numbers that go on where the last start ended, since the relay remembers every order for ever."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Numbers:
    """A counter in a file, for several processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> int:
        """Return the next number."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = int(os.pread(file, 20, 0) or b"0") + 1
            # A number is never shorter than the one before, so nothing of that is left behind it.
            os.pwrite(file, b"%d" % number, 0)
        finally:
            os.close(file)
        return number
