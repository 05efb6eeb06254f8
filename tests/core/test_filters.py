"""The filters of an endpoint are read strictly, and shown as they were said."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.filters import FILTERS, filter_columns, filters_of
from relay.errors import Unprocessable

SOURCES = ("crossing", "other")


def test_what_was_asked_is_stored_and_shown_again() -> None:
    """Every filter there is; a name that was said twice counts once."""
    asked = {
        "sources": ["other", "crossing", "other"],
        "appid": "VunT0000h1l8",
        "user_prefix": "shop-",
        "amount_min": "0.5",
        "amount_max": "100",
        "flags": ["late"],
    }
    assert tuple(asked) == FILTERS
    columns = filter_columns(asked, SOURCES)
    assert (columns["sources"], columns["amount_min_micros"], columns["any_flags"]) == (
        ",other,crossing,",
        500_000,
        ",late,",
    )
    amounts = {"amount_min": "0.500000", "amount_max": "100.000000"}
    assert filters_of(columns) == asked | amounts | {"sources": ["other", "crossing"]}


@pytest.mark.parametrize("nothing", [{}, dict.fromkeys(FILTERS), {"sources": [], "flags": []}])
def test_what_is_not_named_narrows_nothing(nothing: dict[str, Any]) -> None:
    """Left out, null, or an empty list."""
    columns = filter_columns(nothing, SOURCES)
    assert set(columns.values()) == {None}
    assert filters_of(columns) == dict.fromkeys(FILTERS)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"sources": ["crossing", "nowhere"]}, "/filters/sources/1"),
        ({"flags": ["late", "later"]}, "/filters/flags/1"),
        ({"flags": [""]}, "/filters/flags/0"),
        ({"appid": ""}, "/filters/appid"),
        ({"user_prefix": ""}, "/filters/user_prefix"),
        ({"user_prefix": "\udcff"}, "/filters/user_prefix"),
        ({"amount_min": "-1"}, "/filters/amount_min"),
        ({"amount_min": "1e3"}, "/filters/amount_min"),
        ({"amount_max": "0.0000001"}, "/filters/amount_max"),
        ({"amount_max": ""}, "/filters/amount_max"),
        ({"amount_min": "2", "amount_max": "1.999999"}, "/filters/amount_max"),
    ],
)
def test_what_no_event_could_fit_is_refused(wrong: dict[str, Any], pointer: str) -> None:
    """With the field that says so."""
    with pytest.raises(Unprocessable) as caught:
        filter_columns(wrong, SOURCES)
    assert caught.value.pointer == pointer
