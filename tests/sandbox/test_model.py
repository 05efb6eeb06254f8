from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay.sandbox import model, stations
from relay.sandbox.facts import Facts
from relay.sandbox.model import Row, Totals
from relay.sandbox.stations import Mark
from relay.store.board import BoardTotals
from tests.sandbox.built import NOW, board, entry, order, told


def rows_by_id() -> dict[str, Row]:
    return {row.orderid: row for row in model.rows(board())}


MARKS: list[tuple[str, str, tuple[Mark, Mark, Mark, Mark], str, str]] = [
    ("just made", "sh-0020", (Mark.AWAIT, Mark.AWAIT, Mark.AWAIT, Mark.AWAIT), "wait", "to be paid"),
    ("just paid", "sh-0019", (Mark.AWAIT, Mark.SEEN, Mark.AWAIT, Mark.AWAIT), "wait", "awaited"),
    ("not read yet", "sh-0018", (Mark.SEEN, Mark.AWAIT, Mark.SEEN, Mark.SEEN), "good", "credited"),
    ("a service is down", "sh-0017", (Mark.SEEN, Mark.SEEN, Mark.SEEN, Mark.AWAIT), "good", "credited"),
    ("all well", "sh-0016", (Mark.SEEN, Mark.SEEN, Mark.SEEN, Mark.SEEN), "good", "credited"),
    ("forged", "7sh-0016", (Mark.REFUSED, Mark.NONE, Mark.REFUSED, Mark.NONE), "bad", "refused"),
    ("repeated", "sh-0015", (Mark.SEEN, Mark.SEEN, Mark.SEEN, Mark.SEEN), "good", "credited"),
    ("held", "sh-0014", (Mark.SEEN, Mark.SEEN, Mark.HELD, Mark.SEEN), "held", "held"),
    ("lost", "sh-0013", (Mark.LOST, Mark.SEEN, Mark.AWAIT, Mark.AWAIT), "bad", "not credited"),
    ("recovered", "sh-0012", (Mark.LOST, Mark.SEEN, Mark.RECOVERED, Mark.SEEN), "good", "credited"),
]


@pytest.mark.parametrize(("story", "orderid", "marks", "tone", "word"), MARKS, ids=[story for story, *_ in MARKS])
def test_each_story_has_its_stations(story: str, orderid: str, marks: tuple[Mark, ...], tone: str, word: str) -> None:
    """Four marks, a tone and a word."""
    row = rows_by_id()[orderid]
    assert tuple(station.mark for _, station in row.stations) == marks
    assert (row.tone, row.word) == (tone, word)


WORDS: list[tuple[str, str, str]] = [
    ("sh-0020", "provider", "order made V1, waits for money"),
    ("sh-0020", "chain", "nothing arrived "),
    ("sh-0019", "provider", "saw the payment callback is due"),
    ("sh-0019", "chain", "block 1,241 1 confirmation"),
    ("sh-0019", "relay", "order known no callback yet"),
    ("sh-0016", "chain", "block 1,220 22 confirmations, final"),
    ("sh-0016", "provider", "called back V2, 10:04:32.220"),
    ("sh-0018", "provider", "called back shkeeper, 10:04:37.920"),
    ("sh-0018", "chain", "not read yet "),
    ("7sh-0016", "chain", "nobody paid "),
    ("sh-0018", "relay", "verified, stored acked in 4 ms"),
    ("sh-0018", "services", "3 of 3 told once each, in 12 ms"),
    ("sh-0017", "services", "2 of 3 told billing: try 2 in 5 s"),
    ("7sh-0016", "provider", "forged: a digit moved signature of sh-0016"),
    ("7sh-0016", "relay", "refused, kept bad signature"),
    ("sh-0015", "provider", "called back 3 times same callback"),
    ("sh-0015", "relay", "stored once 2 duplicates"),
    ("sh-0014", "relay", "held for a person above the limit of 1,000"),
    ("sh-0014", "services", "3 of 3 told that it is held"),
    ("sh-0013", "provider", "callback never came lost by the provider"),
    ("sh-0012", "relay", "recovered 17 s after payment"),
    ("sh-0011", "services", "3 of 3 told billing: 503, then took it"),
]


@pytest.mark.parametrize(("orderid", "stop", "words"), WORDS, ids=[f"{orderid} {stop}" for orderid, stop, _ in WORDS])
def test_each_station_says_what_happened(orderid: str, stop: str, words: str) -> None:
    """No mark is without its words."""
    station = getattr(rows_by_id()[orderid], stop)
    assert f"{station.text} {station.detail}" == words


def test_a_payment_that_is_gone_takes_its_credit_along() -> None:
    """The block is named that was replaced; nothing of it is green."""
    facts = board()
    reversed_ = replace(facts.orders["sh-0016"], state="reversed", credited_micros=0)
    gone = replace(facts.transfers["sh-0016"], is_gone=True)
    rows = model.rows(replace(facts, orders={"sh-0016": reversed_}, transfers={"sh-0016": gone}))
    [row] = [row for row in rows if row.orderid == "sh-0016"]
    assert (row.chain.text, row.chain.detail, row.relay.text) == ("block 1,220", "was replaced", "taken back")
    assert (row.chain.mark, row.relay.mark, row.tone, row.word) == (Mark.LOST, Mark.REFUSED, "bad", "reversed")


def test_the_way_is_drawn_as_far_as_the_order_got() -> None:
    """Three legs when the services know, two for what the relay refused, one for what the chain alone shows, none for what is awaited."""
    passed = {orderid: row.passed for orderid, row in rows_by_id().items()}
    found = [passed[orderid] for orderid in ("sh-0016", "7sh-0016", "sh-0019", "sh-0020", "sh-0013")]
    assert found == [3, 2, 1, 0, 1]


def test_the_totals_of_a_moment_foot() -> None:
    """What was paid is credited, held, on the way or unexplained; nothing else."""
    sums = model.totals(board())
    assert (sums.paid, sums.credited, sums.held, sums.on_the_way, sums.unexplained) == (9, 6, 1, 1, 1)
    assert sums.unexplained_micros == 50_000_000
    parts = (sums.credited_micros, sums.held_micros, sums.on_the_way_micros, sums.unexplained_micros)
    assert sum(parts) == sums.paid_micros


def test_a_lost_callback_is_unexplained_only_after_the_grace() -> None:
    """Until then it may still come."""
    facts = board()
    young = replace(facts, now=facts.now - timedelta(seconds=10))
    assert model.totals(young).unexplained == 0


def test_more_credited_than_paid_is_a_negative_difference() -> None:
    """A callback with a wrong scale; it is not folded away."""
    line = replace(entry("sh-1", 300_000), scaled=True)
    known = replace(order(line), credited_micros=300_000_000)
    facts = board()
    assert facts.book is not None
    book = replace(facts.book, entries=(line,), orders=1, paid_micros=30_000_000)
    sums = model.totals(
        Facts(now=NOW, book=book, orders={"sh-1": known}, totals=BoardTotals(credited=1, credited_micros=300_000_000))
    )
    assert sums.unexplained_micros == -270_000_000
    [figure] = [one for one in model.figures(sums) if one.name == "Unexplained"]
    assert (figure.value, figure.tone) == ("(270.00)", "bad")


def test_without_the_provider_the_relay_speaks_for_itself() -> None:
    """Newest first, from what the relay stored."""
    facts = replace(board(), book=None)
    assert [row.orderid for row in model.rows(facts)][:4] == ["sh-0020", "sh-0019", "sh-0018", "sh-0017"]
    assert model.totals(facts).unexplained_micros == 0


def test_without_the_subscribers_nobody_claims_that_none_was_twice() -> None:
    """Not known is not zero."""
    sums = model.totals(replace(board(), ledgers=None))
    assert sums.twice is None
    assert model.headline(sums).endswith("services not answering")
    assert [figure.value for figure in model.figures(sums) if figure.name == "Credited twice"] == ["?"]


def sums_of(**known: Any) -> Totals:
    names = (
        "paid",
        "paid_micros",
        "credited",
        "credited_micros",
        "held",
        "held_micros",
        "on_the_way",
        "on_the_way_micros",
        "twice",
        "recovered",
    )
    return Totals(**{**dict.fromkeys(names, 0), **known})


HEADLINES = [
    (sums_of(), "Waiting for the first payment"),
    (sums_of(paid=1, credited=1), "1 order paid, 1 credited, none twice"),
    (
        sums_of(paid=1_234, credited=1_232, held=1, on_the_way=1),
        "1,234 orders paid, 1,232 credited, 1 held, 1 on the way, none twice",
    ),
    (sums_of(paid=3, credited=2), "3 orders paid, 2 credited, 1 unexplained, none twice"),
    (sums_of(paid=3, credited=3, twice=2), "3 orders paid, 3 credited, 2 twice"),
]


@pytest.mark.parametrize(("sums", "sentence"), HEADLINES, ids=[sentence for _, sentence in HEADLINES])
def test_the_first_line_is_the_answer(sums: Totals, sentence: str) -> None:
    """Whatever is zero is left out, but for the doubles one came to ask about."""
    assert model.headline(sums) == sentence


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (64_000_000, "64.00"),
        (1_284_500_000, "1,284.50"),
        (1, "0.000001"),
        (1_234_500, "1.2345"),
        (-270_000_000, "(270.00)"),
    ],
)
def test_amounts_have_two_places_and_more_when_needed(micros: int, text: str) -> None:
    """Nothing is rounded away, and a negative is in parentheses."""
    assert stations.usdt(micros) == text


@pytest.mark.parametrize(
    ("state", "due_in_s", "attempts", "outlook"),
    [
        ("pending", 4, 1, "try 2 in 5 s"),
        ("pending", 299, 2, "try 3 in 5 min"),
        ("pending", -1, 1, "try 2 now"),
        ("sending", 0, 1, "try 1 now"),
        ("dead", 0, 10, "given up"),
        ("paused", 0, 0, "endpoint paused"),
        ("held", 0, 0, "held back"),
    ],
)
def test_the_outlook_of_a_delivery_names_the_next_try(state: str, due_in_s: int, attempts: int, outlook: str) -> None:
    """What a reader would ask next."""
    known = order(entry("sh-1"))
    waiting = told(known, state=state, attempts=attempts, finished_at=None)[2]
    assert stations._outlook(replace(waiting, due_at=NOW + timedelta(seconds=due_in_s)), NOW) == outlook


def test_processes_are_shown_with_what_happened_to_them() -> None:
    """One that runs from the start needs no words."""
    assert model.processes(board()) == [
        ("good", "web", ""),
        ("good", "worker", "restarted 10 s ago"),
        ("good", "clock", ""),
        ("bad", "redis", "is down"),
        ("good", "chain", ""),
    ]
