"""Own the other side: the event scanner that web3.py documents, reduced to what it asks and when.

Source: web3.py's documentation, "Advanced example: Fetching all token transfer events". Its constants and its order of
questions are kept: chunks of 20 blocks at first, doubled while empty up to 10,000, 10 after a hit; thirty tries, 3 s
and half the range apart; the time of every block with an event, and of each chunk's last; a dictionary as its state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from web3 import HTTPProvider, Web3
from web3._utils.events import get_event_data
from web3._utils.filters import construct_event_filter_params

from benchmarks.chain.node import TOKEN

FIRST, LEAST, MOST = 20, 10, 10_000
TRIES, APART_S = 30, 3.0
# More topics than nodes take in one filter: then all events of the token are read, and sorted here.
MOST_TOPICS = 1_000
ABI: Any = [
    {
        "anonymous": False,
        "name": "Transfer",
        "type": "event",
        "inputs": [
            {"indexed": True, "name": "from", "type": "address"},
            {"indexed": True, "name": "to", "type": "address"},
            {"indexed": False, "name": "value", "type": "uint256"},
        ],
    }
]


class EventScanner:
    """Scans a range of blocks for transfers to some addresses; `found` is its state."""

    def __init__(self, url: str, watched: Collection[str]) -> None:
        self._web3 = Web3(HTTPProvider(url, exception_retry_configuration=None))
        self._watched = set(watched)
        self._filter: dict[str, Any] = {"address": Web3.to_checksum_address(TOKEN)}
        if len(watched) <= MOST_TOPICS:
            self._filter["to"] = [Web3.to_checksum_address(one) for one in watched]
        self.found: dict[tuple[str, int], dict[str, Any]] = {}

    def scan(self, first: int, last: int) -> None:
        """Scan blocks `first` to `last`."""
        at, size = first, FIRST
        while at <= last:
            end, events = self._chunk(at, min(at + size, last))
            size = LEAST if events else min(size * 2, MOST)
            at = end + 1

    def _chunk(self, first: int, last: int) -> tuple[int, int]:
        times: dict[int, int] = {}
        last, events = _tried(self._fetch, first, last)
        for one in events:
            number = one["blockNumber"]
            if number not in times:
                times[number] = self._time_of(number)
            self._keep(one, times[number])
        if last not in times:
            self._time_of(last)
        return last, len(events)

    def _time_of(self, number: int) -> int:
        return self._web3.eth.get_block(number)["timestamp"]

    def _fetch(self, first: int, last: int) -> list[Any]:
        _, asked = construct_event_filter_params(
            ABI[0],
            self._web3.codec,
            address=self._filter["address"],
            argument_filters=self._filter,
            from_block=first,
            to_block=last,
        )
        return [get_event_data(self._web3.codec, ABI[0], log) for log in self._web3.eth.get_logs(asked)]

    def _keep(self, event: Any, when: int) -> None:
        to = event["args"]["to"].lower()
        if to in self._watched:
            key = (event["transactionHash"].to_0x_hex(), event["logIndex"])
            self.found[key] = {"from": event["args"]["from"], "to": to, "value": event["args"]["value"], "time": when}


def _tried(fetch: Callable[[int, int], list[Any]], first: int, last: int) -> tuple[int, Sequence[Any]]:
    for left in reversed(range(TRIES)):
        try:
            return last, fetch(first, last)
        except Exception:  # the documented scanner takes any failure for a range that is too wide
            if not left:
                raise
            last = first + (last - first) // 2
            time.sleep(APART_S)
    raise AssertionError
