"""Own the reading of checked values out of a TOML table: every fault is kept, by its path, and a typo is answered with the nearest key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches


class Section:
    """A table that is being read. A value that is missing or wrong adds a fault and reads as its default.

    `faults` is shared with the sections inside it, so that one start tells
    everything that is wrong. Call `close` when all known keys were read.
    """

    def __init__(self, table: Mapping[str, object], path: str, faults: list[str]) -> None:
        self._table = table
        self._known: set[str] = set()
        self.path = path
        self.faults = faults

    def __contains__(self, key: str) -> bool:
        self._known.add(key)
        return key in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def fault(self, key: str, what: str) -> None:
        """Keep a fault of one key."""
        self.faults.append(f"{self.path}.{key}: {what}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; without `default` it must be there and not be empty."""
        value = self._take(key, default)
        if not isinstance(value, str):
            self.fault(key, "must be a text in quotes")
        elif value or default is not None:
            return value
        else:
            self.fault(key, "is empty" if key in self._table else "is missing")
        return default or ""

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        """Return one of `choices`."""
        value = self.text(key, default)
        if value not in choices and key in self._table:
            self.fault(key, f'must be one of {_quoted(choices)}, not "{value}"')
        return value if value in choices else default or next(iter(choices))

    def whole(self, key: str, default: int, *, least: int = 0, most: int) -> int:
        """Return a whole number between `least` and `most`, both allowed."""
        value = self._take(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.fault(key, f"must be a whole number from {least} to {most}")
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings, empty when it is not there."""
        value = self._take(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.fault(key, "must be a list of texts in quotes")
        return ()

    def mapping(self) -> dict[str, str]:
        """Return the whole table, whose values are all texts."""
        return {key: self.text(key) for key in self}

    def value(self, key: str) -> object:
        """Return whatever stands there, to be read by someone else."""
        return self._take(key, None)

    def section(self, key: str) -> Section:
        """Return the table inside, empty when it is not there."""
        value = self._take(key, {})
        if not isinstance(value, Mapping):
            self.fault(key, "must be a table")
            value = {}
        return Section(value, f"{self.path}.{key}", self.faults)

    def close(self) -> None:
        """Add a fault for each key that nobody asked for."""
        for key in self._table:
            if key not in self._known:
                near = get_close_matches(key, self._known, n=1)
                self.fault(
                    key,
                    f'is not known; did you mean "{near[0]}"?'
                    if near
                    else f"is not known; known are {_quoted(sorted(self._known))}",
                )

    def _take(self, key: str, default: object) -> object:
        self._known.add(key)
        if key not in self._table and default is None:
            return ""
        return self._table.get(key, default)


def _quoted(words: Collection[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
