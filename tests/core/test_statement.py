"""The verdict of a day: what was read short is never green, and a net of zero hides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from relay.core.days import Calendar
from relay.core.statement import Bridge, Line, Statement, Sum, judge, percent, short
from tests.builders import NOON

DAY = Calendar().day(date(2026, 11, 22))
HELD = Line("crossing", "held", Sum(1, 20_000_000), 20_000_000)
EXPLAINED = Bridge(Sum(3, 50_000_000), Sum(2, 30_000_000), (HELD,))
ODD = Line("crossing", "unknown_order", Sum(1, 20_000_000), 20_000_000)
FULL = Statement(day=DAY, bridges={"crossing": EXPLAINED}, answered=Sum(), chain_alone=Sum(), chains=())
TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("changes", "tone", "sentence"),
    [
        ({}, "good", "Yesterday agrees. Nothing needs you."),
        ({"needs": Sum(1, 20_000_000)}, "wait", "Yesterday agrees. 1 item, 20.00 USDT, needs you."),
        ({"needs": Sum(2, 1_234_567_890)}, "wait", "Yesterday agrees. 2 items, 1,234.567890 USDT, need you."),
        (
            {"faults": ["the chain tron was not read yet"], "needs": Sum(1, 0)},
            "bad",
            "Yesterday is incomplete: the chain tron was not read yet. 1 item, 0.00 USDT, needs you.",
        ),
        (
            {"bridges": {"x": replace(EXPLAINED, lines=())}},
            "bad",
            "Yesterday does not agree: 20.00 USDT are unexplained.",
        ),
        (
            {"bridges": {"x": replace(EXPLAINED, lines=(ODD,))}},
            "bad",
            "Yesterday does not agree: 1 order differs, 20.00 USDT.",
        ),
        (
            {"chain_alone": Sum(1, 20_000_000)},
            "bad",
            "Yesterday does not agree: 1 order is paid on the chain alone, 20.00 USDT.",
        ),
        (
            {"day": Calendar().day(TODAY), "chain_alone": Sum(2, 20_000_000)},
            "wait",
            "Today is not over; so far 2 orders are paid on the chain alone, 20.00 USDT.",
        ),
        ({"day": Calendar().day(TODAY)}, "wait", "Today is not over; so far it agrees."),
    ],
)
def test_the_verdict_is_one_sentence(changes: dict[str, Any], tone: str, sentence: str) -> None:
    """Incomplete before unexplained before open items."""
    found = judge(replace(FULL, **changes), NOON, TODAY)
    assert (found.tone, found.sentence) == (tone, sentence)


def test_lines_of_all_sources_are_joined_and_the_gross_is_kept() -> None:
    """Twenty too much here and twenty too little there are not nothing."""
    less = Line("other", "held", Sum(1, -20_000_000), 20_000_000)
    other = Bridge(Sum(1, 10_000_000), Sum(1, 30_000_000), (less,))
    bridge = replace(FULL, bridges={"crossing": EXPLAINED, "other": other}).bridge
    assert (bridge.difference, bridge.gross, bridge.residual) == (0, 40_000_000, 0)
    assert [(line.reason, line.sum) for line in bridge.by_reason] == [("held", Sum(2, 0))]


@pytest.mark.parametrize(
    ("micros", "spelled"), [(0, "0.00"), (20_000_000, "20.00"), (1, "0.000001"), (-1_500_000, "-1.50")]
)
def test_an_amount_in_a_sentence_is_short_but_whole(micros: int, spelled: str) -> None:
    """No place is lost."""
    assert short(micros) == spelled


def test_a_day_in_a_later_month_is_called_by_its_date() -> None:
    """With the month, for the reader was not there."""
    assert judge(FULL, NOON + timedelta(days=9), date(2026, 12, 2)).sentence.startswith("22 November agrees.")


@pytest.mark.parametrize(
    ("part", "whole", "spelled"),
    [
        (0, 0, None),
        (0, 7, "0.00 %"),
        (7, 7, "100.00 %"),
        (1, 3, "33.33 %"),
        (2, 3, "66.67 %"),
        (999_999, 1_000_000, "99.99 %"),
        (1, 1_000_000, "0.01 %"),
    ],
)
def test_a_share_is_whole_only_where_nothing_is_missing(part: int, whole: int, spelled: str | None) -> None:
    """And nothing only where nothing is there; of nothing there is no share."""
    assert percent(part, whole) == spelled
