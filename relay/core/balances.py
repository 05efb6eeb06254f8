"""Own the proof of an address's money: opening and what came in, less what went out, is what the chain says is there.

All sums are base units of the token, so that nothing below a micro is lost.
A balance at a block that nobody measured is computed from a measured one and the final transfers between the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.core.chains import MICRO_PLACES, Token
from relay.core.logs import TokenEvent

# What moves money, or changes what a transfer moves, without a Transfer that names the address. Source: TetherToken on Ethereum.
MOVES_WITHOUT_TRANSFER = frozenset({"DestroyedBlackFunds", "Issue", "Redeem", "Params", "Deprecate"})
# Whose event names the one account that it is about.
_OF_ONE = frozenset({"DestroyedBlackFunds"})


@dataclass(frozen=True, slots=True)
class Point:
    """What an address held at the end of a block, as a node told it."""

    block: int
    units: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What final transfers moved in one of the three parts between the points: before, within and after the window."""

    received: int = 0
    sent: int = 0

    @property
    def net(self) -> int:
        """What they left behind."""
        return self.received - self.sent


NOTHING = Moved()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From the end of block `first` to the end of block `last`, and the points on which it hangs.

    `low` stands at or before `first`, `high` at `last` or later. Where
    something is missing, `why` says what: nothing can be proven then.
    """

    first: int | None = None
    last: int | None = None
    low: Point | None = None
    high: Point | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One line: an address and a token from the end of `first_block` to the end of `last_block`.

    `closing` is computed, `measured` is what the chain says. `why` names what
    is missing for a proof; `events` are those that may explain a difference.
    """

    chain: str
    contract: str
    address: str
    role: str
    first_block: int | None = None
    last_block: int | None = None
    opening: int | None = None
    received: int = 0
    sent: int = 0
    measured: int | None = None
    why: str = ""
    events: tuple[TokenEvent, ...] = ()

    @property
    def closing(self) -> int | None:
        """What must be there."""
        return None if self.opening is None else self.opening + self.received - self.sent

    @property
    def difference(self) -> int | None:
        """What is there beyond what must be; negative for what is missing, None where it cannot be told."""
        return None if self.closing is None or self.measured is None else self.measured - self.closing

    @property
    def verdict(self) -> str:
        """`proved`, `gap`, `explained` (a gap, and an event of the token that may be its cause), or `unprovable`."""
        if self.why or self.difference is None:
            return "unprovable"
        if not self.difference:
            return "proved"
        return "explained" if self.events else "gap"


_SUMS = ("opening", "received", "sent", "measured")
# What may still become provable once a day is over; everything else that is missing stays missing.
PASSING = frozenset({"closing_not_measured_yet", "measured_once", "earlier_blocks_are_being_read", "cut_not_found_yet"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """The proofs of a token over a day, added up in its base units.

    The sums speak of the `proved`, `explained` and `gap` lines only, so that
    opening + received - sent = closing holds; `whys` counts the others by
    what they lack.
    """

    chain: str
    contract: str
    decimals: int
    proved: int = 0
    explained: int = 0
    gap: int = 0
    opening: int = 0
    received: int = 0
    sent: int = 0
    measured: int = 0
    whys: Mapping[str, int] = field(default_factory=dict)

    @property
    def unprovable(self) -> int:
        """How many lines could not be proven."""
        return sum(self.whys.values())

    @property
    def summed(self) -> int:
        """How many addresses the sums speak of; of none they say nothing, which is not zero."""
        return self.proved + self.explained + self.gap

    @property
    def lines(self) -> int:
        """How many lines there are, proven or not."""
        return self.proved + self.explained + self.gap + self.unprovable

    @property
    def closing(self) -> int:
        """What must be there."""
        return self.opening + self.received - self.sent

    @property
    def difference(self) -> int:
        """What is there beyond what must be; the differences of single lines may cancel out in it."""
        return self.measured - self.closing

    @property
    def may_change(self) -> bool:
        """Tell whether a line may still become provable."""
        return bool(PASSING & self.whys.keys())


def add_up(proofs: Iterable[Proof], tokens: Sequence[Token], chain: str) -> list[Total]:
    """Return the total of each token of a chain."""
    counts = {token.contract: Counter[str]() for token in tokens}
    whys = {token.contract: Counter[str]() for token in tokens}
    for one in proofs:
        mine = counts[one.contract]
        if one.verdict == "unprovable":
            whys[one.contract][one.why or "not_measured_yet"] += 1
            continue
        mine[one.verdict] += 1
        for name in _SUMS:
            mine[name] += getattr(one, name)
    return [
        Total(
            chain=chain,
            contract=token.contract,
            decimals=token.decimals,
            whys=dict(whys[token.contract]),
            **counts[token.contract],
        )
        for token in tokens
    ]


def in_one(totals: Sequence[Total]) -> Total:
    """Return totals of several tokens as one, in base units of the one with the most decimals: exact."""
    decimals = max((one.decimals for one in totals), default=0)
    scaled = [(one, int("1" + "0" * (decimals - one.decimals))) for one in totals]
    counts = {name: sum(getattr(one, name) for one in totals) for name in ("proved", "explained", "gap")}
    sums = {name: sum(getattr(one, name) * factor for one, factor in scaled) for name in _SUMS}
    whys = sum((Counter(one.whys) for one in totals), Counter[str]())
    return Total(chain="", contract="", decimals=decimals, whys=dict(whys), **counts, **sums)


def window_of(
    low: Point | None, high: Point | None, *, start: int | None, end: int | None, is_filled: bool = True
) -> Window:
    """Return the window of an address in a day.

    `start` and `end` are the last blocks before the day's cuts, None where
    the chain has none yet: the window then reaches as far as was measured.
    `low` is the last point up to `start`, or the first one after it.
    """
    if low is None or (end is not None and low.block > end):
        return Window(why="not_measured_yet")
    first = low.block if start is None else max(start, low.block)
    if high is None:
        return Window(first=first, low=low, why="closing_not_measured_yet")
    last = high.block if end is None else end
    why = "" if is_filled else "earlier_blocks_are_being_read"
    if not why and high.block == low.block:
        why = "measured_once"
    return Window(first=first, last=last, low=low, high=high, why=why)


def prove(line: Proof, window: Window, moved: Sequence[Moved], events: Iterable[TokenEvent] = ()) -> Proof:
    """Return the line of an address, given what moved in the parts of its window and what its token reported between its points."""
    before, within, after = moved
    low, high = window.low, window.high
    return Proof(
        chain=line.chain,
        contract=line.contract,
        address=line.address,
        role=line.role,
        first_block=window.first,
        last_block=window.last,
        opening=None if low is None else low.units + before.net,
        received=within.received,
        sent=within.sent,
        measured=None if high is None else high.units - after.net,
        why=window.why,
        events=tuple(one for one in events if may_explain(one, line)),
    )


def may_explain(event: TokenEvent, line: Proof) -> bool:
    """Tell whether an event of a token may be why an address holds more or less than its transfers say."""
    if event.kind not in MOVES_WITHOUT_TRANSFER or event.contract != line.contract:
        return False
    return event.kind not in _OF_ONE or event.account == line.address


def class_of_outflow(role: str | None) -> str:
    """Return the class of money that leaves one of our addresses, by what the book says of where it goes.

    A deposit address of ours is no place to send our own money to: what comes in there is credited to a user.
    """
    return role if role in ("collection", "external") else "unexplained_outflow"


def spell_usdt(units: int, decimals: int) -> str:
    """Return base units with six places, and with more where something stands below a micro."""
    whole, _, places = spell_units(units, decimals).partition(".")
    return f"{whole}.{places[:MICRO_PLACES].ljust(MICRO_PLACES, '0')}{places[MICRO_PLACES:].rstrip('0')}"


def spell_units(units: int, decimals: int) -> str:
    """Return base units as a decimal number with all the token's places: exact, whatever they are."""
    if not decimals:
        return str(units)
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{'-' if units < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"
