"""Own one HTTP exchange within a deadline over the whole of it, and whether it can have arrived when no answer came."""

from __future__ import annotations

import socket
import ssl
import threading
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from relay.core.calls import Outgoing
from relay.ports import Reply

ANSWER_CAP = 64 * 1024


class NotEncrypted(OSError):
    """A connection that may not be used without TLS. An OSError, as whatever else stops a connection."""


def exchange(
    connection: HTTPConnection, request: Outgoing, *, deadline_s: float, answer_cap: int = ANSWER_CAP
) -> Reply:
    """Send a request once over a connection that is not open yet; every failure is a Reply, never an exception."""
    work = _Exchange(connection, request, answer_cap)
    # Its own thread, since neither a look-up of a name nor an answer that drips can be ended from within.
    thread = threading.Thread(target=work.run, name="exchange", daemon=True)
    thread.start()
    thread.join(deadline_s)
    return work.end()


def tls_context() -> ssl.SSLContext:
    """Verify certificate and name against the system's roots, TLS 1.2 or later."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Exchange:
    """One request on its way. Whoever waits for it may leave; then it is not sent any more, if it was not yet."""

    def __init__(self, connection: HTTPConnection, request: Outgoing, answer_cap: int) -> None:
        self._connection = connection
        self._answer_cap = answer_cap
        self._request = request
        self._lock = threading.Lock()
        self._left = False
        self._opened: socket.socket | None = None
        self._reply: Reply | None = None

    def run(self) -> None:
        """Connect, send, read; leave what came of it."""
        try:
            self._connection.connect()
        except (OSError, HTTPException, UnicodeError) as error:
            self._settle(Reply(status=None, error=_connect_word(error), left=False))
            return
        finally:
            # Else sending would connect again by itself, and past the proxy's tunnel.
            self._connection.auto_open = 0
        # Whoever waited was told that nothing had left: this is the last moment at which that can be kept true.
        with self._lock:
            if self._reply is not None:
                self._connection.close()
                return
            self._left = True
            # The library lets go of a connection that is to be closed once it has read the head of the answer.
            self._opened = self._connection.sock
        try:
            self._settle(self._talk())
        except (OSError, HTTPException, ValueError) as error:
            self._settle(Reply(status=None, error="timeout" if isinstance(error, TimeoutError) else "protocol"))
        finally:
            self._connection.close()

    def end(self) -> Reply:
        """Return what came of it; when nothing did yet, nothing will."""
        with self._lock:
            if self._reply is None:
                self._reply = Reply(status=None, error="timeout", left=self._left)
            reply = self._reply
            opened = self._opened or self._connection.sock
        if reply.error == "timeout" and opened is not None:
            _cut(opened)
        return reply

    def _settle(self, reply: Reply) -> None:
        with self._lock:
            self._reply = self._reply or reply

    def _talk(self) -> Reply:
        headers = {"Connection": "close", **self._request.headers}
        target = urlsplit(self._request.url)
        path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        # A POST bears its length even when it is empty.
        body = self._request.body if self._request.method == "POST" else None
        self._connection.request(self._request.method, path, body, headers)
        answer = self._connection.getresponse()
        read = answer.read(self._answer_cap + 1)
        if len(read) > self._answer_cap:
            return Reply(status=None, error="too_large")
        # The library does not object to an answer that ends before the length that it announced.
        if answer.length:
            return Reply(status=None, error="protocol")
        return Reply(status=answer.status, body=read, content_type=answer.getheader("Content-Type", ""))


def _connect_word(error: Exception) -> str:
    """Name what stopped a connection; the order matters, since all of these are OSErrors."""
    if isinstance(error, NotEncrypted):
        return "not_encrypted"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "dns"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "tls" if isinstance(error, ssl.SSLError) else "refused"


def _cut(opened: socket.socket) -> None:
    """Wake a thread that still reads; closing alone would not."""
    try:
        opened.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
