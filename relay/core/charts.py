"""Own how figures become the bars of a picture: whole pixels, the highest as high as the picture, nothing drawn for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: `row` is which series it belongs to, `place` which of its figures it shows."""

    row: int
    place: int
    x: int
    y: int
    width: int
    height: int


def bars(series: Sequence[Sequence[int]], *, places: int, width: int = 900, height: int = 160) -> list[Bar]:
    """Return the bars of several series of the same length, those of one place beside each other; less than nothing is nothing.

    There is room for `places` of them, however many there are: a bar is as wide in the first week as later.
    """
    highest = max((value for row in series for value in row), default=0)
    if highest <= 0:
        return []
    return [
        Bar(number, place, x, height - tall, wide, tall)
        for number, row in enumerate(series)
        for place, value in enumerate(row)
        for x, wide in [_column(number, place, rows=len(series), places=places, width=width)]
        # What is there at all is seen.
        for tall in [max(value * height // highest, 1 if value > 0 else 0)]
        if tall > 0
    ]


def middle(place: int, *, places: int, width: int = 900) -> int:
    """Return where the name of a place stands."""
    return place * width // places + width // places // 2


def _column(row: int, place: int, *, rows: int, places: int, width: int) -> tuple[int, int]:
    slot = width // places
    wide = max((slot - GAP) // rows, 1)
    return place * width // places + GAP // 2 + row * wide, max(wide - 1, 1)
