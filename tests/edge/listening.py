"""Servers on real sockets that do with a connection whatever a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening(talk: Callable[[socket.socket], object], *, host: str = "127.0.0.1") -> Iterator[str]:
    """A server that does with each connection whatever it is told."""
    server = socket.create_server((host, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_quietly, args=(talk, connection), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://{host}:{server.getsockname()[1]}"
    server.close()


def _quietly(talk: Callable[[socket.socket], object], connection: socket.socket) -> None:
    try:
        with connection:
            talk(connection)
    except OSError:
        return


def answering(answer: bytes, heard: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Read one request whole, whose body is `a=1`, and answer it."""

    def talk(connection: socket.socket) -> None:
        asked = connection.recv(65_536)
        # Whoever closes before all was read resets the connection, and may take the answer with it.
        while not asked.endswith(b"\r\n\r\n" if asked.startswith(b"CONNECT") else b"\r\n\r\na=1"):
            asked += connection.recv(65_536)
        if heard is not None:
            heard.append(asked)
        connection.sendall(answer)

    return talk
