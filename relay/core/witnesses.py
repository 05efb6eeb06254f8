"""Own what nodes confirm of a finding, and how it is stated by how many."""

from __future__ import annotations

from dataclasses import dataclass


def in_words(agree: int) -> str:
    """Return how many nodes confirm a finding, as people read it."""
    return "one witness" if agree == 1 else f"{agree} witnesses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """That nothing came to an address is confirmed: by how many nodes, in which blocks."""

    agree: int
    first_block: int
    last_block: int

    @property
    def witnesses(self) -> str:
        """How it is stated."""
        return in_words(self.agree)
