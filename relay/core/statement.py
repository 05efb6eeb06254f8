"""Own the statement of a day: the bridge from what the provider says to what the relay credited, and the verdict.

Amounts are micro-USDT. The totals of the bridge and its lines are read by
statements of their own, so that a residual of zero is a finding and not an
identity of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from relay.core.amounts import MICROS, format_micros
from relay.core.balances import Total, in_one
from relay.core.days import Day, spoken

# Why an order stands differently with provider and relay on a day; the words are those of the page and of every export.
REASONS: Mapping[str, str] = {
    "amount_differs": "Credited with another amount than the provider says",
    "held": "Held: a person decides",
    "no_callback": "Paid at the provider, and no callback came",
    "awaits_evidence": "Awaits another witness",
    "pending": "Awaits the rest of the money",
    "credited_other_day": "Paid on this day, credited on another",
    "paid_other_day": "Credited on this day, paid on another",
    "changed_later": "A credit of an earlier day was changed",
    "credited_elsewhere": "Credited by whoever ran before us",
    "taken_back": "Paid, and taken back before the day was over",
    "refused": "Paid at the provider, not credited here",
    "unknown_order": "Paid at the provider, unknown here",
    "unordered": "Came without an order, and was credited to the owner of its address by two persons",
    "no_word": "Credited without a word of the provider",
    "chain_alone": "Paid on the chain; neither provider nor relay speaks of it",
}
# Those that no later fact will settle by itself; the others are a matter of time, or were settled before.
DISPUTED = frozenset({"amount_differs", "no_callback", "refused", "unknown_order", "no_word"})
# First seen this long ago or longer, and less than the next one's; the last has no end.
AGES: tuple[tuple[str, timedelta], ...] = (
    ("under 1 h", timedelta()),
    ("1 to 4 h", timedelta(hours=1)),
    ("4 to 24 h", timedelta(hours=4)),
    ("1 to 2 days", timedelta(days=1)),
    ("3 to 7 days", timedelta(days=3)),
    ("8 to 30 days", timedelta(days=8)),
    ("over 30 days", timedelta(days=31)),
)


@dataclass(frozen=True, slots=True)
class Sum:
    """A number of things and their money."""

    count: int = 0
    micros: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.count + other.count, self.micros + other.micros)


NOTHING = Sum()


@dataclass(frozen=True, slots=True)
class Line:
    """Why so many orders of a namespace differ, and by how much: provider less relay, signed."""

    namespace: str
    reason: str
    sum: Sum
    gross_micros: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """From what the provider says was paid to what the relay credited, line by line."""

    provider: Sum
    relay: Sum
    lines: tuple[Line, ...]

    @property
    def difference(self) -> int:
        """Provider less relay."""
        return self.provider.micros - self.relay.micros

    @property
    def gross(self) -> int:
        """All differences without their signs: what a net of zero may hide."""
        return sum(line.gross_micros for line in self.lines)

    @property
    def residual(self) -> int:
        """What no line explains; anything but zero is a fault of ours or of the data."""
        return self.difference - sum(line.sum.micros for line in self.lines)

    @property
    def disputed(self) -> Sum:
        """The orders that differ for a reason which a person has to clear, and their money without signs."""
        return _total(Sum(line.sum.count, line.gross_micros) for line in self.lines if line.reason in DISPUTED)

    @property
    def by_reason(self) -> list[Line]:
        """The lines over all namespaces, in the order of REASONS."""
        return [_joined(reason, [line for line in self.lines if line.reason == reason]) for reason in self._reasons]

    @property
    def _reasons(self) -> list[str]:
        met = {line.reason for line in self.lines}
        return [reason for reason in REASONS if reason in met]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainDay:
    """What moved on a chain in a day: in, out, how much of what came in found its order.

    `block` is the last one before the day's end where `is_cut`; before that is known, the last one that moved money.
    """

    chain: str
    is_on: bool
    received: Sum = Sum()
    collected: Sum = Sum()
    matched: Sum = Sum()
    unfinal: Sum = Sum()
    block: int | None = None
    block_hash: str | None = None
    is_cut: bool = False
    read_at: datetime | None = None
    trouble: str = ""

    @property
    def unmatched(self) -> Sum:
        """What came in and belongs to no order."""
        return Sum(self.received.count - self.matched.count, self.received.micros - self.matched.micros)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What finance reads first: how much agrees, what was recovered, and what is open, held or nobody's.

    `whole` is every order that provider or relay speaks of, with the larger of both words as its money, `agreeing` those
    on which they agree. `recovered` was credited on the day though its callback never came, `wait_s` is the median of the
    seconds from payment to credit. `orphaned` is what came to our addresses, and of which no order is known, by the
    breaks that are open about it. `oldest` is when the oldest open break was first seen.
    """

    whole: Sum = Sum()
    agreeing: Sum = Sum()
    credited: Sum = Sum()
    recovered: Sum = Sum()
    wait_s: int | None = None
    open_breaks: Sum = Sum()
    oldest: datetime | None = None
    orphaned: Sum = Sum()
    held: Sum = Sum()

    @property
    def matched_by_count(self) -> str | None:
        """Of all orders those that agree."""
        return percent(self.agreeing.count, self.whole.count)

    @property
    def matched_by_value(self) -> str | None:
        """Of the money of all orders that of those that agree."""
        return percent(self.agreeing.micros, self.whole.micros)

    @property
    def callback_loss(self) -> str | None:
        """Of all credited orders those whose callback never came."""
        return percent(self.recovered.count, self.credited.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Everything that the page of a day tells, and every export of it.

    `answered` is how much of the provider's word came by asking or by a
    statement; the rest are its callbacks alone. `chain_alone` is matched
    money that neither provider nor relay speaks of. `late` is what came about days that were sealed already. `open_breaks` are by severity,
    those first seen before the day's end. `cash` proves the money of our own addresses, token by token, as it was
    computed at `cash_at`. `faults` make the day incomplete, `gaps` name what was not looked at at all.
    """

    day: Day
    bridges: Mapping[str, Bridge]
    answered: Sum
    chain_alone: Sum
    chains: Sequence[ChainDay]
    summary: Summary = Summary()
    accounts: Mapping[str, tuple[Sum, Sum]] = field(default_factory=dict)
    cash: Sequence[Total] = ()
    cash_at: datetime | None = None
    open_breaks: Mapping[int, Sum] = field(default_factory=dict)
    opened: Sum = Sum()
    resolved: Sum = Sum()
    pending: Mapping[str, Sum] = field(default_factory=dict)
    ages: Sequence[tuple[str, Sum]] = ()
    needs: Sum = Sum()
    late: Sum = Sum()
    faults: Sequence[str] = ()
    gaps: Sequence[str] = ()

    @property
    def bridge(self) -> Bridge:
        """All namespaces together."""
        parts = list(self.bridges.values())
        return Bridge(
            _total(part.provider for part in parts),
            _total(part.relay for part in parts),
            tuple(line for part in parts for line in part.lines),
        )

    @property
    def all_cash(self) -> Total:
        """The proof of cash of all chains and tokens together."""
        return in_one(self.cash)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a day stands: `tone` is good, wait or bad, `sentence` the first line of its page."""

    tone: str
    sentence: str


def judge(statement: Statement, now: datetime, today: date) -> Verdict:
    """Return the verdict; what was read short is never green, and what nobody explains is never a matter of a person's item."""
    name, needs, disputed = spoken(statement.day.date, today), statement.needs, statement.bridge.disputed
    items = f"{needs.count} {'item' if needs.count == 1 else 'items'}, {short(needs.micros)} USDT"
    asks = f" {items}, {'needs' if needs.count == 1 else 'need'} you." if needs.count else ""
    if statement.faults:
        return Verdict("bad", f"{name} is incomplete: {statement.faults[0]}.{asks}")
    if statement.bridge.residual:
        return Verdict("bad", f"{name} does not agree: {short(statement.bridge.residual)} USDT are unexplained.{asks}")
    if disputed.count:
        orders = "1 order differs" if disputed.count == 1 else f"{disputed.count} orders differ"
        return Verdict("bad", f"{name} does not agree: {orders}, {short(disputed.micros)} USDT.{asks}")
    alone = statement.chain_alone
    paid = f"{alone.count} {'order is' if alone.count == 1 else 'orders are'} paid on the chain alone, {short(alone.micros)} USDT"
    if now < statement.day.end:
        return Verdict("wait", f"{name} is not over; so far {paid if alone.count else 'it agrees'}.{asks}")
    if alone.count:
        return Verdict("bad", f"{name} does not agree: {paid}.{asks}")
    if gaps := statement.all_cash.gap:
        places = "1 address holds" if gaps == 1 else f"{gaps} addresses hold"
        return Verdict("bad", f"{name} does not agree: {places} other money than the transfers say.{asks}")
    return Verdict("wait" if needs.count else "good", f"{name} agrees.{asks or ' Nothing needs you.'}")


def short(micros: int) -> str:
    """Spell an amount for a sentence: grouped, with two places where that loses nothing."""
    spelled = format_micros(abs(micros))
    whole, places = spelled.split(".")
    kept = places[:2] if not abs(micros) % (MICROS // 100) else places
    return f"{'-' if micros < 0 else ''}{int(whole):,}.{kept}"


def percent(part: int, whole: int) -> str | None:
    """Spell a share with two places; 100.00 only where nothing is missing, 0.00 only where nothing is there. None of nothing."""
    if whole <= 0:
        return None
    hundredths = (part * 20_000 + whole) // (2 * whole)
    kept = min(max(hundredths, 1 if part > 0 else 0), 10_000 if part >= whole else 9_999)
    return f"{kept // 100}.{kept % 100:02d} %"


def _total(parts: Iterable[Sum]) -> Sum:
    total = Sum()
    for part in parts:
        total += part
    return total


def _joined(reason: str, lines: Sequence[Line]) -> Line:
    return Line("", reason, _total(line.sum for line in lines), sum(line.gross_micros for line in lines))
