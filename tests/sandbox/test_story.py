from __future__ import annotations

from dataclasses import replace

from relay.sandbox import model
from relay.sandbox.story import lines, summary
from tests.sandbox.built import board, entry, order, told

TOLD = [
    "sh-0011       148.25 USDT  billing down, retried, delivered after 5.2 s",
    "sh-0012       100.00 USDT  RECOVERED, 3 of 3 told in 12 ms",
    "sh-0013        50.00 USDT  LOST by the provider",
    "sh-0014     1,200.00 USDT  HELD for a person: above limit",
    "sh-0015        12.50 USDT  same callback three times, credited once, 3 of 3 told in 12 ms",
    "sh-0016        99.00 USDT  callback ok, 3 of 3 told in 12 ms",
    "7sh-0016       99.00 USDT  forged with the signature of sh-0016, refused (401)",
    "sh-0018        64.00 USDT  callback ok, 3 of 3 told in 12 ms",
]


def test_each_order_has_one_line_once_its_outcome_is_known() -> None:
    """Oldest first; what is still under way is not spoken of."""
    assert list(lines(board(), set())) == TOLD


def test_nothing_is_said_twice() -> None:
    """The same facts a moment later are no news."""
    told_before: set[tuple[str, str]] = set()
    assert list(lines(board(), told_before))
    assert list(lines(board(), told_before)) == []


def test_a_lost_order_is_spoken_of_again_when_it_is_recovered() -> None:
    """Two chapters of one order."""
    facts = board()
    assert facts.book is not None
    line = entry("sh-1", copies=0, lost=True)
    book = replace(facts.book, entries=(line,))
    said: set[tuple[str, str]] = set()
    [lost] = lines(replace(facts, book=book, orders={}, deliveries={}), said)
    known = order(line, flags="recovered")
    [found] = lines(replace(facts, book=book, orders={"sh-1": known}, deliveries={"sh-1": told(known)}), said)
    assert lost.endswith("LOST by the provider")
    assert found.endswith("RECOVERED, 3 of 3 told in 12 ms")


def test_a_callback_that_was_refused_for_our_fault_is_lost_too() -> None:
    """The provider does not send it again."""
    facts = board()
    assert facts.book is not None
    book = replace(facts.book, entries=(entry("sh-1", status=503), entry("sh-2", status=None)))
    said = list(lines(replace(facts, book=book, orders={}, deliveries={}), set()))
    assert ["503" in said[1], "not acknowledged" in said[0]] == [True, True]


def test_an_accepted_forgery_would_be_shouted() -> None:
    """It must never happen, so it must be seen."""
    facts = board()
    assert facts.book is not None
    book = replace(facts.book, entries=(entry("7sh-1", forged_from="sh-1"),))
    [line] = lines(replace(facts, book=book), set())
    assert "ACCEPTED (200)" in line


def test_the_summary_has_the_six_totals() -> None:
    """The same figures as the board."""
    assert summary(model.totals(board())).split("paid ")[1] == (
        "1,724.50, credited 454.50, held 1,200.00, unexplained 50.00, twice 0, recovered 1"
    )
