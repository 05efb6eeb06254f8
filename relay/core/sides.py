"""Own how the witnesses of one order are laid beside each other: what each says, where they differ, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.core.advice import next_step as step_of_break
from relay.core.advice import why_held
from relay.core.amounts import grouped

Value = str | int | datetime | None

# Field by field, and whether witnesses who say different things of it disagree: each has a time of its own.
FIELDS = (
    ("status", "Status", True),
    ("micros", "Amount, USDT", True),
    ("tx_hash", "Transaction", True),
    ("number", "Provider's number", True),
    ("user", "User", True),
    ("address", "Address", True),
    ("at", "Time", False),
)
# Words of a witness that mean the same as "paid".
_PAID = frozenset({"succeeded", "final"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one witness says of an order; amounts in micro-USDT. `missing` says why it says nothing.

    `chain` is where its transaction and address are to be found.
    """

    name: str
    missing: str = ""
    status: str | None = None
    micros: int | None = None
    tx_hash: str | None = None
    number: str | None = None
    user: str | None = None
    address: str | None = None
    at: datetime | None = None
    chain: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One field over all witnesses; `differs` when two that speak of it do not say the same."""

    field: str
    label: str
    cells: tuple[Value, ...]
    differs: bool


def compared(sides: Sequence[Side]) -> list[Line]:
    """Lay the sides beside each other, field by field; a field that nobody speaks of is left out."""
    lines = []
    for field, label, disagrees in FIELDS:
        cells = tuple(getattr(side, field) for side in sides)
        said = {_meaning(cell) for cell in cells if cell is not None}
        if said:
            lines.append(Line(field, label, cells, disagrees and len(said) > 1))
    return lines


def difference(sides: Sequence[Side], credited_micros: int) -> str:
    """Say in one sentence how far the witnesses are apart, or from what was credited."""
    amounts = [(side.name, side.micros) for side in sides if side.micros is not None]
    if not amounts:
        return "No witness names an amount."
    least, most = (choose(amounts, key=lambda one: one[1]) for choose in (min, max))
    if least[1] != most[1]:
        apart = grouped(most[1] - least[1])
        said = ", ".join(f"{name} {grouped(micros)}" for name, micros in amounts)
        return f"The witnesses are {apart} USDT apart: {said}."
    who = " and ".join(
        [", ".join(name for name, _ in amounts[:-1]), amounts[-1][0]] if amounts[1:] else [amounts[0][0]]
    )
    said = f"{who} {'say' if amounts[1:] else 'says'} {grouped(most[1])} USDT"
    if credited_micros == most[1]:
        return f"{said}, and so much is credited: the difference is 0.000000."
    return f"{said}; credited are {grouped(credited_micros)}: {grouped(most[1] - credited_micros)} USDT apart."


def next_step(state: str, held_reason: str | None, open_breaks: Sequence[str] = ()) -> str:
    """Say what a person can do about an order now; `open_breaks` are the classes of what is disputed, the worst first."""
    match state:
        case "held":
            return f"Held: {why_held(held_reason)}. Ask below for what is to become of it; an approver does it."
        case "confirming":
            return "Another witness is awaited; after the source's grace it is held."
        case _ if open_breaks:
            return step_of_break(open_breaks[0])
        case "created" | "creating" | "pending":
            return "Nothing to do: the payment is awaited."
        case _:
            return "Nothing to do."


def _meaning(value: Value) -> Value:
    return "paid" if value in _PAID else value
