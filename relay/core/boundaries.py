"""Own the question whether a signed text without separators can be read as other fields than those that came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from relay.core.signatures import PAIRS, Scheme, signed_pairs


def reads_one_way(
    scheme: Scheme, fields: Mapping[str, str], patterns: Mapping[str, re.Pattern[str]], fixed: str | None
) -> bool:
    """Tell whether the signed text of `fields` splits into values that match `patterns` in one way only.

    The field `fixed` has one possible value, the one it bears. In
    `amount=1,orderid=2345` and `amount=12,orderid=345` a scheme that signs
    bare values signs the same text: the signature holds for both, so
    neither can be believed. Names tell values apart only as far as no
    value can contain them. With a joiner between the pairs the answer is
    simpler: no value may contain the joiner.
    """
    if scheme.joiner:
        return not any(scheme.joiner in value for value in fields.values())
    literals, free = [""], []
    for name in sorted(filter(scheme.signs, fields)):
        literals[-1] += PAIRS[scheme.pair](name, fields[name] if name == fixed else "")
        if name != fixed:
            free.append(patterns[name])
            literals.append("")
    return _readings("".join(signed_pairs(scheme, fields)), literals, free) == 1


def _readings(text: str, literals: Sequence[str], patterns: Sequence[re.Pattern[str]]) -> int:
    """Count the ways to read `text` as literal, value, literal, value, ... literal."""
    reached = {len(literals[0]): 1}
    for number, pattern in enumerate(patterns, start=1):
        ends = _tail if number == len(patterns) else _ends
        behind: dict[int, int] = {}
        for start, ways in reached.items():
            for end in ends(text, start, literals[number]):
                # A slice, because ^ and look-behind must not see what stands before the value.
                if pattern.fullmatch(text[start:end]):
                    after = end + len(literals[number])
                    behind[after] = behind.get(after, 0) + ways
        reached = behind
    return reached.get(len(text), 0)


def _ends(text: str, start: int, literal: str) -> Iterator[int]:
    """Yield where a value that begins at `start` can end: before each place of the literal behind it."""
    end = text.find(literal, start + 1)
    while end >= 0:
        yield end
        end = text.find(literal, end + 1)


def _tail(text: str, start: int, literal: str) -> Iterator[int]:
    """Yield the one place where the last value can end."""
    end = len(text) - len(literal)
    if start < end and text.endswith(literal):
        yield end
