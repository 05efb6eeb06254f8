"""Own that an answer over HTTP ends in time, its head too: the library bounds each read alone, and an answer that drips has no last one."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

# The whole answer has so many times the time of one read.
READS = 2


class InTime(HTTPAdapter):
    """Sends over connections whose answers end in time; what does not is a time-out of the read."""

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        """Make the pools of ours."""
        super().init_poolmanager(*given, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Until(io.RawIOBase):
    """Reads from a socket until a moment."""

    def __init__(self, raw: io.RawIOBase, until: float) -> None:
        self._raw, self._until = raw, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until:
            raise TimeoutError
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *given: Any, **named: Any) -> None:
        super().__init__(sock, *given, **named)
        until = time.monotonic() + READS * (sock.gettimeout() or 0)
        self.fp = io.BufferedReader(_Until(self.fp.detach(), until))


class _Connection(HTTPConnection):
    response_class = _Answer


class _TLSConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
