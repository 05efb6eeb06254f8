"""Coverage is proven by arithmetic: no hole is jumped over, and spans follow what nodes bear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.ranges import Range, covered_to, gaps, grown, is_limit, pieces, shrunk

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda one: Range(one[0], one[0] + one[1])), max_size=8
)


@given(RANGES, st.integers(0, 60), st.integers(0, 80))
def test_gaps_and_coverage_agree_with_counting(ranges: list[Range], start: int, end: int) -> None:
    """A slow oracle counts every block."""
    covered = {number for one in ranges for number in range(one.first, one.last + 1)}
    missing = {number for first, last in gaps(ranges, start, end) for number in range(first, last + 1)}
    assert missing == set(range(start, end + 1)) - covered
    reached = start - 1
    while reached + 1 in covered:
        reached += 1
    assert covered_to(ranges, start) == reached


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 20))
def test_pieces_are_contiguous_and_small(first: int, length: int, span: int) -> None:
    """Together they are the range."""
    cut = list(pieces(first, first + length, span))
    assert [number for low, high in cut for number in range(low, high + 1)] == list(range(first, first + length + 1))
    assert all(high - low < span for low, high in cut)


@pytest.mark.parametrize(
    ("span", "message", "expected"),
    [
        (1_000, "query returned more than 10000 results. Try with this block range [0x64, 0x95].", 50),
        (1_000, "query returned more than 10000 results", 500),
        (1_000, "try [0x1, 0x2]", 500),
        (1_000, "try [100, 90]", 500),
        (1_000, "try [0100, 0149]", 50),
        (1_000, "try [100, 99999]", 500),
        (1, "block range is too wide", 1),
    ],
)
def test_a_refused_span_shrinks(span: int, message: str, expected: int) -> None:
    """A suggestion is taken when it is one: from the block that was asked, and smaller."""
    assert shrunk(span, message, first=100) == expected


@pytest.mark.parametrize(
    ("span", "found", "expected"),
    [(16, 0, 64), (16, 2_500, 32), (16, 2_501, 16), (1_500, 0, 2_000), (3_000, 9, 2_000), (3_000, 9_000, 2_000)],
)
def test_a_span_grows_while_its_answers_are_small(span: int, found: int, expected: int) -> None:
    """Up to what the configuration allows."""
    assert grown(span, found=found, bearable=10_000, most=2_000) == expected


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (-32005, "limit", True),
        (-32602, "exceed max block range: 5000", True),
        (-32614, "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range", True),
        (35, "ranges over 10000 blocks are not supported on freetier", True),
        (-32000, "requested too many blocks from 1 to 9000, maximum is set to 2048", True),
        (-32008, "Log response size exceeded", True),
        (-32005, "daily request count exceeded, request rate limited", False),
        (-32602, "invalid address hash value", False),
        (-32000, "header not found", False),
    ],
)
def test_limits_are_told_from_other_errors(code: int, message: str, *, expected: bool) -> None:
    """Only a limit is answered by asking for less."""
    assert is_limit(code, message) is expected
