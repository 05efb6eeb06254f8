"""The proof of an address's money, in tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.balances import NOTHING, Moved, Point, Proof, Window, class_of_outflow, prove, spell_units, window_of
from relay.core.logs import TokenEvent

USDT, MINE = "0x" + "a6" * 20, "0x" + "11" * 20
LINE = Proof(chain="ethereum", contract=USDT, address=MINE, role="deposit")


@pytest.mark.parametrize(
    ("low", "high", "start", "end", "expected"),
    [
        (Point(90, 5), Point(210, 9), 100, 200, (100, 200, "")),
        (Point(150, 5), Point(210, 9), 100, 200, (150, 200, "")),
        (Point(150, 5), Point(210, 9), None, 200, (150, 200, "")),
        (Point(90, 5), Point(180, 9), 100, None, (100, 180, "")),
        (Point(90, 5), Point(90, 5), 100, None, (100, 90, "measured_once")),
        (Point(90, 5), None, 100, 200, (100, None, "closing_not_measured_yet")),
        (Point(201, 5), Point(210, 9), 100, 200, (None, None, "not_measured_yet")),
        (None, None, 100, 200, (None, None, "not_measured_yet")),
    ],
    ids=["whole", "registered within", "chain began within", "runs", "once", "open", "later", "never"],
)
def test_a_window_hangs_on_the_points_around_it(
    low: Point | None,
    high: Point | None,
    start: int | None,
    end: int | None,
    expected: tuple[int | None, int | None, str],
) -> None:
    """Earlier history is not claimed, and what was not measured is not guessed."""
    found = window_of(low, high, start=start, end=end)
    assert (found.first, found.last, found.why) == expected


def test_an_address_whose_earlier_blocks_are_being_read_proves_nothing_yet() -> None:
    """Its sums are not whole."""
    found = window_of(Point(90, 5), Point(210, 9), start=100, end=200, is_filled=False)
    assert found.why == "earlier_blocks_are_being_read"


WHOLE = Window(first=100, last=200, low=Point(90, 1_000), high=Point(210, 1_300))


@pytest.mark.parametrize(
    ("moved", "sums", "difference", "verdict"),
    [
        ([Moved(50, 0), Moved(400, 100), Moved(0, 50)], (1_050, 1_350, 1_350), 0, "proved"),
        ([NOTHING, Moved(300, 0), NOTHING], (1_000, 1_300, 1_300), 0, "proved"),
        ([NOTHING, Moved(299, 0), NOTHING], (1_000, 1_299, 1_300), 1, "gap"),
        ([NOTHING, Moved(400, 0), NOTHING], (1_000, 1_400, 1_300), -100, "gap"),
    ],
)
def test_opening_and_what_came_less_what_went_is_what_is_there(
    moved: list[Moved], sums: tuple[int, int, int], difference: int, verdict: str
) -> None:
    """Both ends are carried to the cuts by the transfers between; one base unit is a gap."""
    found = prove(LINE, WHOLE, moved)
    assert (found.opening, found.closing, found.measured) == sums
    assert (found.difference, found.verdict) == (difference, verdict)


def event(kind: str, account: str | None = None, contract: str = USDT) -> TokenEvent:
    """An event of a token within the window."""
    return TokenEvent(
        chain="ethereum",
        tx_hash="0x01",
        log_index=0,
        block_number=150,
        block_hash="0x02",
        contract=contract,
        kind=kind,
        account=account,
        data="",
    )


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (event("DestroyedBlackFunds", MINE), "explained"),
        (event("DestroyedBlackFunds", "0x" + "22" * 20), "gap"),
        (event("Redeem"), "explained"),
        (event("Params"), "explained"),
        (event("Deprecate", "0x" + "22" * 20), "explained"),
        (event("Pause"), "gap"),
        (event("Redeem", contract="0x" + "66" * 20), "gap"),
    ],
    ids=["destroyed", "another's", "redeemed", "fee", "deprecated", "paused", "another token"],
)
def test_an_event_of_the_token_may_explain_a_gap(told: TokenEvent, verdict: str) -> None:
    """One that concerns the address, or the whole token."""
    assert prove(LINE, WHOLE, [NOTHING, Moved(400, 0), NOTHING], [told]).verdict == verdict


def test_a_line_without_both_ends_is_not_provable() -> None:
    """What must be there is told all the same."""
    found = prove(LINE, replace(WHOLE, high=None, last=None, why="closing_not_measured_yet"), [NOTHING] * 3)
    assert (found.closing, found.difference, found.verdict) == (1_000, None, "unprovable")


def test_money_that_leaves_is_ordinary_listed_or_unexplained() -> None:
    """A deposit address is no place for our own money."""
    assert [class_of_outflow(role) for role in ("collection", "external", "deposit", None)] == [
        "collection",
        "external",
        "unexplained_outflow",
        "unexplained_outflow",
    ]


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(1, 6, "0.000001"), (-1_500_000, 6, "-1.500000"), (10**18 + 1, 18, "1.000000000000000001"), (7, 0, "7")],
)
def test_base_units_are_spelled_exactly(units: int, decimals: int, text: str) -> None:
    """With all the places that the token has."""
    assert spell_units(units, decimals) == text
