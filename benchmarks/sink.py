"""Own the subscribers: one cheap HTTP server, its own process, whose paths say how it behaves.

    /ok/<name>           204 at once
    /delay-<ms>/<name>   204 after so many milliseconds
    /fail-<n>/<name>     every n-th request answered with 500, the others with 204
    /hang/<name>         never answered
    /control/totals      GET: what was counted since the last reset
    /control/seen        GET: for each first arrival [path, order's id, monotonic seconds]
    /control/reset       POST: forget

A first arrival is a `webhook-id` accepted on a path for the first time; any
later one is a duplicate. What was refused or hangs is no arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from functools import cache

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_ORDER = re.compile(rb'"orderid": ?"([^"]+)"')

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a path answers; `fail_every` 0 means never."""

    delay_s: float = 0.0
    fail_every: int = 0
    hangs: bool = False


@cache
def behaviour(path: bytes) -> Behaviour | None:
    """Read the behaviour from a path; None when the path is not one of ours."""
    word, _, number = path.split(b"/")[1].partition(b"-")
    match word:
        case b"ok":
            return Behaviour()
        case b"delay":
            return Behaviour(delay_s=int(number) / 1000)
        case b"fail":
            return Behaviour(fail_every=int(number))
        case b"hang":
            return Behaviour(hangs=True)
    return None


@dataclass(slots=True)
class Records:
    """What arrived since the last reset."""

    requests: int = 0
    accepted: int = 0
    refused: int = 0
    hanging: int = 0
    duplicates: int = 0
    first: dict[tuple[bytes, bytes], tuple[bytes, float]] = field(default_factory=dict)
    turns: dict[bytes, int] = field(default_factory=dict)

    def accept(self, path: bytes, head: bytes, body: bytes) -> None:
        """Note an accepted request by path and webhook-id."""
        found = _ID.search(head)
        key = (path, found[1] if found else b"")
        self.accepted += 1
        if key in self.first:
            self.duplicates += 1
            return
        order = _ORDER.search(body)
        self.first[key] = (order[1] if order else b"", time.monotonic())

    def refuses(self, path: bytes, every: int) -> bool:
        """Tell whether it is this request's turn to be refused."""
        turn = self.turns[path] = self.turns.get(path, 0) + 1
        return turn % every == 0

    def totals(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "refused": self.refused,
            "hanging": self.hanging,
            "duplicates": self.duplicates,
            "distinct": len(self.first),
        }

    def seen(self) -> list[tuple[str, str, float]]:
        """Return the first arrivals as (path, order's id, monotonic seconds)."""
        return [(path.decode(), order.decode(), at) for (path, _), (order, at) in self.first.items()]


class Sink(asyncio.Protocol):
    """One connection of a deliverer."""

    def __init__(self, records: list[Records]) -> None:
        # A list of one, shared by all connections, so that a reset is one assignment.
        self._records = records
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in the buffer."""
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/control/"):
            self._write(self._control(path))
            return
        how = behaviour(path)
        if how is None:
            self._write(UNKNOWN)
            return
        records = self._records[0]
        records.requests += 1
        if how.hangs:
            records.hanging += 1
        elif how.fail_every and records.refuses(path, how.fail_every):
            records.refused += 1
            self._write(REFUSED)
        else:
            records.accept(path, head, body)
            self._accept(how.delay_s)

    def _accept(self, delay_s: float) -> None:
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._write, NO_CONTENT)
        else:
            self._write(NO_CONTENT)

    def _control(self, path: bytes) -> bytes:
        match path:
            case b"/control/totals":
                return _json(self._records[0].totals())
            case b"/control/seen":
                return _json(self._records[0].seen())
            case b"/control/reset":
                self._records[0] = Records()
                return NO_CONTENT
        return UNKNOWN

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


def _json(value: object) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def serve(port: int) -> asyncio.Server:
    """Listen on the loopback; port 0 takes a free one."""
    records = [Records()]
    return await asyncio.get_running_loop().create_server(lambda: Sink(records), "127.0.0.1", port, backlog=2048)


async def _main(port: int) -> None:
    server = await serve(port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stand in for every subscriber; prints its port.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_main(parser.parse_args().port))
