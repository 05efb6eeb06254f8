"""Boundaries: a signature is believed only if its text can be read in one way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.boundaries import reads_one_way
from relay.core.signatures import Scheme, sign

NAMES_AND_VALUES = Scheme(name="sign", digest="hmac-sha256", pair="kv", joiner="")
BARE_VALUES = Scheme(name="sign", digest="hmac-sha256", pair="v", joiner="")
JOINED = Scheme(name="sign", digest="hmac-sha256")


def patterns(**texts: str) -> dict[str, re.Pattern[str]]:
    """Compiled patterns by field."""
    return {name: re.compile(text, re.ASCII) for name, text in texts.items()}


LOOSE = patterns(a="[0-9]+", b="[0-9]+")
CASES = {
    "digits beside digits": (BARE_VALUES, {"a": "1", "b": "23"}, LOOSE, None, False),
    "one digit each": (BARE_VALUES, {"a": "1", "b": "2"}, LOOSE, None, True),
    "a neighbour of fixed width": (BARE_VALUES, {"a": "1", "b": "23"}, patterns(a="[0-9]+", b="[0-9]{2}"), None, True),
    "a neighbour that starts otherwise": (
        BARE_VALUES,
        {"a": "1", "b": "x23"},
        patterns(a="[0-9]+", b="[a-z][0-9]+"),
        None,
        True,
    ),
    "a known value between them": (
        BARE_VALUES,
        {"a": "1", "b": "X", "c": "2"},
        patterns(a="[0-9]+", b="[A-Z]", c="[0-9]+"),
        "b",
        True,
    ),
    "a known value that occurs twice": (
        BARE_VALUES,
        {"a": "11", "b": "1", "c": "2"},
        patterns(a="[0-9]+", b="1", c="[0-9]+"),
        "b",
        False,
    ),
    "a known value at the end": (BARE_VALUES, {"a": "12", "b": "3"}, LOOSE, "b", True),
    "names between digits": (NAMES_AND_VALUES, {"a": "1", "b": "23"}, LOOSE, None, True),
    "a name inside a value": (
        NAMES_AND_VALUES,
        {"a": "1b2", "b": "3b4"},
        patterns(a="[0-9b]+", b="[0-9b]+"),
        None,
        False,
    ),
    "a name inside a value that cannot be": (
        NAMES_AND_VALUES,
        {"a": "1b2", "b": "3"},
        patterns(a="[0-9b]+", b="[0-9]"),
        None,
        True,
    ),
    "a joiner": (JOINED, {"a": "1", "b": "23"}, LOOSE, None, True),
    "a joiner inside a value": (JOINED, {"a": "1&b=2", "b": "3"}, patterns(a=".+", b=".+"), None, False),
}


@pytest.mark.parametrize(("scheme", "fields", "rules", "fixed", "believed"), CASES.values(), ids=CASES)
def test_texts_are_read_one_way_or_refused(
    scheme: Scheme, fields: dict[str, str], rules: dict[str, re.Pattern[str]], fixed: str | None, *, believed: bool
) -> None:
    """The table is the rule."""
    assert reads_one_way(scheme, fields, rules, fixed) is believed


def test_anchors_in_a_pattern_see_the_value_alone() -> None:
    """A pattern written with ^ and $ counts the same readings as one without."""
    assert not reads_one_way(BARE_VALUES, {"a": "1", "b": "23"}, patterns(a="^[0-9]+$", b="^[0-9]+$"), None)


VALUES = st.text("ab1", min_size=1, max_size=6)


@given(VALUES, VALUES, VALUES, VALUES, st.sampled_from([NAMES_AND_VALUES, BARE_VALUES]))
def test_two_sets_of_fields_under_one_signature_are_never_both_believed(
    a: str, b: str, c: str, d: str, scheme: Scheme
) -> None:
    """Whenever two different sets sign alike, both are found to be ambiguous."""
    rules, one, other = patterns(a="[ab1]+", b="[ab1]+"), {"a": a, "b": b}, {"a": c, "b": d}
    if one != other and sign(scheme, "k", one) == sign(scheme, "k", other):
        assert not reads_one_way(scheme, one, rules, None)
        assert not reads_one_way(scheme, other, rules, None)


@given(VALUES, VALUES)
def test_the_count_agrees_with_trying_every_split(a: str, b: str) -> None:
    """The quick search finds what the slow one finds."""
    rules, text = patterns(a="[a1]+", b="[ab]+"), a + b
    splits = [at for at in range(1, len(text)) if rules["a"].fullmatch(text[:at]) and rules["b"].fullmatch(text[at:])]
    assert reads_one_way(BARE_VALUES, {"a": a, "b": b}, rules, None) is (len(splits) == 1)
