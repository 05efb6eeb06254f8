"""Figures as bars: in proportion, inside the picture, and nothing for nothing."""

from __future__ import annotations

import itertools

from relay.core.charts import bars, middle


def test_bars_are_in_proportion_and_inside() -> None:
    """The highest fills the picture; what is there at all is seen; nothing and less are not drawn."""
    drawn = bars([[100, 50, 0], [1, -5, 25]], places=3, width=90, height=40)
    assert [(bar.row, bar.place, bar.height) for bar in drawn] == [(0, 0, 40), (0, 1, 20), (1, 0, 1), (1, 2, 10)]
    assert all(bar.y + bar.height == 40 for bar in drawn)
    assert all(bar.x >= 0 and bar.x + bar.width <= 90 for bar in drawn)


def test_bars_of_one_place_stand_beside_each_other() -> None:
    """They never overlap, however many places there are."""
    drawn = sorted(bars([[1] * 31, [1] * 31], places=31), key=lambda bar: bar.x)
    assert len(drawn) == 62
    assert all(one.x + one.width <= other.x for one, other in itertools.pairwise(drawn))
    assert drawn[0].x <= middle(0, places=31) <= drawn[1].x + drawn[1].width


def test_a_bar_is_as_wide_however_few_there_are() -> None:
    """The rest of the picture is empty."""
    few, many = (bars([[1] * count], places=30) for count in (2, 30))
    assert few == many[:2]


def test_nothing_is_no_picture() -> None:
    """Neither no figures nor figures of nothing."""
    assert bars([], places=1) == bars([[]], places=1) == bars([[0, 0]], places=2) == []
