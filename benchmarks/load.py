"""Own the load: a raw-socket HTTP/1.1 client that runs as its own process and reports its own CPU.

    python -m benchmarks.load --port 8000 --run a1 --seconds 5        as fast as 32 connections allow
    python -m benchmarks.load --port 8000 --run a2 --count 600        the same, until all are answered
    python -m benchmarks.load --port 8000 --run a3 --seconds 5 --rate 50   at a fixed pace, with a time for each order

It signs everything first, prints `ready`, waits for a line on its input, then
works and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import callbacks

CONNECTIONS = 32
# More than any build here answers in a second; what is left over was signed for nothing.
MOST_PER_SECOND = 6_000
PATIENCE_S = 20.0
# Connections come one after the other: of many that come at once, one process of a server takes most, and keeps them.
APART_S = 0.01

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)

Request = tuple[str, bytes]


class Connection:
    """One keep-alive connection with at most one request in flight; `sent_at` is its monotonic start."""

    __slots__ = ("address", "buffer", "orderid", "sent_at", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.buffer = b""
        self.orderid = ""
        self.sent_at = 0.0
        self.socket = _connected(address)

    def send(self, request: Request) -> None:
        """Send one request; it is far smaller than a socket's buffer, so it leaves whole."""
        self.orderid, data = request
        self.sent_at = time.monotonic()
        self.socket.sendall(data)

    def receive(self) -> int | None:
        """Read what is there: the status of a whole answer, None while it is incomplete, 0 when the peer hung up."""
        data = self.socket.recv(65_536)
        if not data:
            return 0
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.buffer[:end]
        length = _LENGTH.search(head)
        if len(self.buffer) < end + 4 + (int(length[1]) if length else 0):
            return None
        self.buffer = b""
        status = int(head[9:12])
        return -status if _CLOSE.search(head) else status

    def reconnect(self) -> None:
        """Begin anew after the peer closed."""
        self.socket.close()
        self.buffer = b""
        self.socket = _connected(self.address)


def _connected(address: tuple[str, int]) -> socket.socket:
    made = socket.create_connection(address, timeout=PATIENCE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class Load:
    """The connections, what was answered, and when."""

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.statuses: Counter[int] = Counter()
        self.times: list[tuple[str, float, float]] = []
        self._address = address
        self._most = connections
        self._next_at = 0.0

    def _add(self, connection: Connection) -> None:
        self._open[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        self.idle.append(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open.values():
            connection.socket.close()
        self._poll.close()

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._open) - len(self.idle)

    @property
    def has_room(self) -> bool:
        """Whether a connection is free, or one more may be opened by now."""
        return bool(self.idle) or (len(self._open) < self._most and time.monotonic() >= self._next_at)

    @property
    def is_full(self) -> bool:
        """Whether every connection is open."""
        return len(self._open) == self._most

    def send(self, request: Request) -> None:
        """Send on a free connection, or on a new one.

        A connection is opened for its first request only: a server's thread
        may wait for seconds on one that says nothing.
        """
        if not self.idle:
            self._add(Connection(self._address))
            self._next_at = time.monotonic() + APART_S
        self.idle.pop().send(request)

    def collect(self, timeout_s: float) -> None:
        """Wait for answers and note them; the connections they came on are idle again."""
        for number, _ in self._poll.poll(timeout_s):
            connection = self._open[number]
            status = connection.receive()
            if status is None:
                continue
            self.times.append((connection.orderid, connection.sent_at, time.monotonic()))
            self.statuses[abs(status)] += 1
            if status > 0:
                self.idle.append(connection)
            else:
                self._renew(number, connection)

    def _renew(self, number: int, connection: Connection) -> None:
        # The number of a closed socket may be given out again at once, so the old one leaves the books first.
        del self._open[number]
        connection.reconnect()
        self._add(connection)


def closed_loop(load: Load, requests: Sequence[Request], *, seconds: float) -> None:
    """Keep every connection busy until the time or the requests run out, then wait for the answers still due."""
    end = time.monotonic() + seconds
    remaining = iter(requests)
    request = next(remaining, None)
    while request is not None and time.monotonic() < end:
        while load.has_room and request is not None:
            load.send(request)
            request = next(remaining, None)
        load.collect(PATIENCE_S if load.is_full else APART_S)
    _wait_for_answers(load)


def open_loop(load: Load, requests: Sequence[Request], *, rate: float) -> None:
    """Send at a fixed pace, whatever the answers do; the time of each order counts from its own send."""
    start = time.monotonic()
    for number, request in enumerate(requests):
        due = start + number / rate
        while (left := due - time.monotonic()) > 0 or not load.has_room:
            load.collect(max(left, 0.001))
        load.send(request)
    _wait_for_answers(load)


def _wait_for_answers(load: Load) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while load.waiting and time.monotonic() < deadline:
        load.collect(1.0)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the sorted values do not exceed; 0 for none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def summary(load: Load, *, cpu_s: float, with_times: bool) -> dict[str, Any]:
    """Return the figures of a run: counts, rate from first send to last answer, latency in ms, and the client's own CPU."""
    took = sorted((answered - sent) * 1000 for _, sent, answered in load.times)
    first = min((sent for _, sent, _ in load.times), default=0.0)
    last = max((answered for _, _, answered in load.times), default=0.0)
    ok = sum(count for status, count in load.statuses.items() if 200 <= status < 300)
    return {
        "ok": ok,
        "other": {str(status): count for status, count in load.statuses.items() if not 200 <= status < 300},
        "unanswered": load.waiting,
        "rate": ok / (last - first) if last > first else 0.0,
        "p50_ms": percentile(took, 0.50),
        "p99_ms": percentile(took, 0.99),
        "cpu_s": cpu_s,
        "started": first,
        "ended": last,
        "times": load.times if with_times else [],
    }


def main() -> None:
    """Sign, wait for the word, work, report."""
    arguments = _arguments()
    count = arguments.count or int(arguments.seconds * (arguments.rate or MOST_PER_SECOND))
    requests = callbacks.requests(arguments.run, count, host=f"127.0.0.1:{arguments.port}")
    load = Load(("127.0.0.1", arguments.port), arguments.connections)
    _wait_for_the_word()
    before = time.process_time()
    _work(arguments, load, requests)()
    result = summary(load, cpu_s=time.process_time() - before, with_times=bool(arguments.rate))
    load.close()
    sys.stdout.write(json.dumps(result) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send signed callbacks to a port on this machine.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--run", required=True, help="begins every order's id; must differ between runs on one database"
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=0, help="stop after so many instead")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="a fixed pace per second instead of as fast as answered"
    )
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    return parser.parse_args()


def _wait_for_the_word() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _work(arguments: argparse.Namespace, load: Load, requests: Sequence[Request]) -> Callable[[], None]:
    if arguments.rate:
        return lambda: open_loop(load, requests, rate=arguments.rate)
    return lambda: closed_loop(load, requests, seconds=arguments.seconds if not arguments.count else float("inf"))


if __name__ == "__main__":
    main()
