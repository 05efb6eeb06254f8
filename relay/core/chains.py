"""Own what a chain is to us: its identity, its tokens, its finality, and what its nodes bear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

MICRO_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A contract that we count as USDT. Its identity is (chain id, contract): neither address nor symbol alone."""

    contract: str
    decimals: int

    def split(self, units: int) -> tuple[int, int]:
        """Return base units as micros, and what stays below a micro as `rest` base units."""
        if self.decimals <= MICRO_PLACES:
            return units * _ten_to(MICRO_PLACES - self.decimals), 0
        return divmod(units, _ten_to(self.decimals - MICRO_PLACES))

    def join(self, micros: int, rest: int) -> int:
        """Return the base units of micros and rest."""
        if self.decimals <= MICRO_PLACES:
            return micros // _ten_to(MICRO_PLACES - self.decimals)
        return micros * _ten_to(self.decimals - MICRO_PLACES) + rest


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when a chain was read: `until` is the time of the last final block; no `since`: nobody knows any more."""

    since: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeURL:
    """Where a node listens, and the headers that open it; either may hold a key, so neither is shown."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain as the configuration says it; one without nodes is off.

    `finality` is finalized, safe, solidified, or confirmations with
    `confirmations` blocks. `window` is how many blocks a chain may take back
    before a person has to look. `span` blocks, `topics` addresses and
    `results` logs are the most that one question may ask or be answered with;
    above `filter_above` addresses all logs of the contract are read and sorted here.
    A balance that moved is measured again after `measure_s`. `solidity` are TRON's services that tell confirmed state.
    `explorer_tx` and `explorer_address` are where a person looks something up, {} in the place of it; "" is nowhere.
    """

    name: str
    chain_id: int
    tokens: tuple[Token, ...]
    finality: str
    block_ms: int
    confirmations: int = 0
    window: int = 256
    span: int = 2_000
    topics: int = 1_000
    results: int = 10_000
    filter_above: int = 5_000
    rate: int = 5
    grace_s: int = 900
    measure_s: int = 3_600
    multicall: str | None = None
    explorer_tx: str = ""
    explorer_address: str = ""
    nodes: tuple[NodeURL, ...] = ()
    solidity: tuple[NodeURL, ...] = ()

    @property
    def is_on(self) -> bool:
        """Tell whether there is a node to ask."""
        return bool(self.nodes)

    @property
    def window_s(self) -> int:
        """Return how long its window takes: what is not final then is late."""
        return -(-self.window * self.block_ms // 1_000)

    def blocks_in(self, seconds: int) -> int:
        """Return how many blocks a time takes, rounded up."""
        return -(-seconds * 1_000 // self.block_ms)

    def token(self, contract: str) -> Token | None:
        """Return the token of a contract in machine spelling."""
        return next((token for token in self.tokens if token.contract == contract), None)


def _ten_to(places: int) -> int:
    # A power may be a fraction for all that a type checker knows; of places it never is.
    return int("1" + "0" * places)
