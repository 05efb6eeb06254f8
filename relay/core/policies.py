"""Own what an amount means: how the payments of an order add up, and whether a source's policy takes the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.core.callbacks import Callback, Status
from relay.core.orders import Order
from relay.core.sources import Source

_LARGEST_SCALE = 12


class Outcome(StrEnum):
    """What a policy says of an amount."""

    CREDIT = "credit"
    WAIT = "wait"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Received:
    """What an order has received: micro-USDT in `payments` payments, known to less than `unit_micros`."""

    micros: int
    unit_micros: int
    payments: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """A policy's answer; `reason` says why it holds, `flags` what is to be shown of the order."""

    outcome: Outcome
    flags: frozenset[str] = frozenset()
    reason: str | None = None


_NO_FLAGS: frozenset[str] = frozenset()
# What becomes of the common callback.
_TAKEN = Assessment(Outcome.CREDIT)


def part_of(callback: Callback, source: Source) -> str:
    """Return what tells this callback's payment from the others of its order.

    That is the transaction where several payments may make up one order, and
    nothing where a second one could only contradict the first. Words that
    the adapter does not map are kept apart by themselves, and words about
    what is still pending by their amount, which may grow.
    """
    if callback.status is Status.UNKNOWN:
        return callback.raw_status or ""
    if callback.status is Status.PENDING:
        return callback.amount_raw
    if callback.tx_hash is None:
        return ""
    has_several = source.adapter.amount_counts == "increment" or source.amount_policy != "as_received"
    return callback.tx_hash if has_several else ""


def with_part(callback: Callback, source: Source) -> Callback:
    """Return the callback with its part named."""
    part = part_of(callback, source)
    return replace(callback, part=part) if part else callback


def received(callback: Callback, known: Sequence[Callback], source: Source) -> Received:
    """Add up what the accepted callbacks of an order report as paid, this one included.

    Increments are summed; of totals the largest is the latest, whatever the
    order in which they arrived. A callback in conflict counts for nothing.
    """
    if not known:
        return Received(callback.amount_micros, callback.unit_micros, 1)
    paid = {callback.part: callback}
    for other in known:
        if other.key == callback.key and other.status is Status.SUCCEEDED and "conflict" not in other.flags:
            paid.setdefault(other.part, other)
    amounts = [one.amount_micros for one in paid.values()]
    unit = max(one.unit_micros for one in paid.values())
    micros = sum(amounts) if source.adapter.amount_counts == "increment" else max(amounts)
    return Received(micros, unit, len(paid))


def assess(found: Received, order: Order, source: Source) -> Assessment:
    """Judge what an order received by the source's policy; the policies are those of docs/operations.md."""
    expected = order.expected_micros
    if source.amount_policy == "as_received":
        return _with_minimum(found, source, _flags(found, expected))
    if expected is None:
        return Assessment(Outcome.HOLD, reason="no_expected_amount")
    if source.amount_policy == "accumulate":
        flags = _flags(found, expected)
        return Assessment(Outcome.WAIT, flags) if "partial" in flags else _with_minimum(found, source, flags)
    slack = found.unit_micros - 1
    if source.amount_policy == "tolerance":
        slack = max(slack, source.tolerance_micros)
    if abs(found.micros - expected) <= slack:
        return _with_minimum(found, source, frozenset())
    if found.micros < expected:
        return Assessment(Outcome.WAIT, frozenset({"partial"}))
    return Assessment(Outcome.HOLD, frozenset({"overpaid"}), scale_error(found.micros, expected) or "overpaid")


def scale_error(micros: int, expected: int | None) -> str | None:
    """Name a difference that is a power of ten: someone counts in another unit. `scale_error_x100` is a hundred times too much."""
    if not expected or not micros:
        return None
    for power in range(1, _LARGEST_SCALE + 1):
        if micros == expected * 10**power:
            return f"scale_error_x{10**power}"
        if micros * 10**power == expected:
            return f"scale_error_x1/{10**power}"
    return None


def _flags(found: Received, expected: int | None) -> frozenset[str]:
    if expected is None or abs(found.micros - expected) < found.unit_micros:
        return _NO_FLAGS
    return frozenset({"partial" if found.micros < expected else "overpaid"})


def _with_minimum(found: Received, source: Source, flags: frozenset[str]) -> Assessment:
    # Less than a micro was rounded down to nothing, and nobody is credited with nothing.
    if found.micros < max(source.minimum_micros, 1):
        return Assessment(Outcome.HOLD, flags, "below_minimum")
    return Assessment(Outcome.CREDIT, flags) if flags else _TAKEN
