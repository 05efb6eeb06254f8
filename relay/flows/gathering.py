"""Own how arrivals become batches: what queued while the last commit ran is the next one, and a crowd is waited for.

A commit costs about as much for twenty callbacks as for two. When the last
batch had several, their callers' next requests are on their way; so the next
batch waits while each millisecond brings another. A lone callback never
waits. Measured on two cores with 32 connections, CPU of web and database a
callback: 2,253 us without the wait, 1,780 with it on Postgres, 1,935 and
1,596 on SQLite; a callback's p50 fell from 49 ms to 39 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_IN_A_BATCH = 500
STEP_S = 0.001
MOST_STEPS = 6


class Gathering(Generic[T]):
    """A queue that is emptied a batch at a time, by one thread."""

    def __init__(self, *, pause: Callable[[float], object] = time.sleep) -> None:
        self._queue: SimpleQueue[T] = SimpleQueue()
        self._pause = pause
        self._crowded = False

    def put(self, arrival: T) -> None:
        """Add one; any thread may."""
        self._queue.put(arrival)

    @property
    def busy(self) -> bool:
        """Whether more is here or, behind a crowd, about to come."""
        return self._crowded or not self._queue.empty()

    def next_batch(self, *, within_s: float | None = None) -> list[T]:
        """Wait for the first arrival and return it with all that came with it; nothing when none comes within that time."""
        try:
            batch = [self._queue.get(timeout=within_s)]
        except Empty:
            return []
        if self._crowded:
            self._let_more_come()
        batch += self._waiting()
        self._crowded = len(batch) > 1
        return batch

    def _let_more_come(self) -> None:
        seen = -1
        for _ in range(MOST_STEPS):
            if self._queue.qsize() == seen:
                return
            seen = self._queue.qsize()
            self._pause(STEP_S)

    def _waiting(self) -> list[T]:
        found: list[T] = []
        try:
            while len(found) < MOST_IN_A_BATCH - 1:
                found.append(self._queue.get_nowait())
        except Empty:
            pass
        return found
