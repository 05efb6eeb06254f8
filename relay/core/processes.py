"""Own which of our processes are missed: those that fell silent, and that nobody has taken the place of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol


class Sign(Protocol):
    """What a process left: of which kind it is, since when it runs, when it was last alive."""

    @property
    def kind(self) -> str:
        """`worker` or `clock`."""

    @property
    def started_at(self) -> datetime:
        """When it began."""

    @property
    def seen_at(self) -> datetime:
        """When it was last alive."""


def lost(signs: Iterable[Sign], *, now: datetime, after: timedelta) -> list[Sign]:
    """Return those silent for longer than `after` that no later process of their kind has replaced, the longest silent last.

    A release starts as many anew as it ends, each of which stands in for one.
    """
    newest = sorted(signs, key=lambda one: one.seen_at, reverse=True)
    alive = [one for one in newest if now - one.seen_at <= after]
    missed = []
    for one in newest:
        if now - one.seen_at <= after:
            continue
        heir = next((other for other in alive if other.kind == one.kind and other.started_at >= one.seen_at), None)
        if heir is None:
            missed.append(one)
        else:
            alive.remove(heir)
    return missed
