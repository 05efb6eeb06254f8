"""What a day's proofs come to is kept for each token, and so is each address whose money does not add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event

from relay.core.balances import Total, in_one
from relay.core.chains import Token
from relay.core.days import Day
from relay.flows.day_proofs import prove_day, prove_days
from relay.store import day_proofs as store
from relay.store.engine import reading, writing
from tests.flows.test_balances import CALENDAR, TODAY, YESTERDAY, Till
from tests.flows.test_scan import HERS, MINE
from tests.nodes.multicall import MULTICALL
from tests.nodes.scripted import STRANGER, USDT


@pytest.fixture
def till(engine: Engine) -> Till:
    return Till(engine, multicall=MULTICALL)


def total_of(till: Till, day: Day = TODAY) -> Total:
    """What the one token came to, as it is stored."""
    with reading(till.engine) as connection:
        ((total, _),) = store.totals(connection, day)
    return total


def test_a_day_adds_up_by_token(till: Till) -> None:
    """Only lines that could be proven are summed, so that the total foots; the others are counted by what they lack."""
    till.watch(HERS)
    till.mine((STRANGER, MINE, 10), (STRANGER, HERS, 5), upto=99)
    till.measure()
    till.mine((STRANGER, MINE, 7), (MINE, HERS, 3), upto=130)
    till.measure()
    till.watch("0x" + "5" * 40)
    prove_days(till.engine, till.chain, CALENDAR, now=till.now)
    total = total_of(till)
    assert (total.opening, total.received, total.sent, total.closing, total.measured) == (15, 10, 3, 22, 22)
    assert (total.proved, total.gap, total.whys) == (2, 0, {"not_measured_yet": 1})


def test_what_does_not_add_up_is_kept_by_address(till: Till) -> None:
    """With all that a break says of it; it is gone once the missing log is found."""
    till.mine()
    till.measure()
    block = till.world.mine((STRANGER, MINE, 9))
    late = block.logs.pop()
    till.mine((STRANGER, MINE, 1))
    block.logs.append(late)
    till.measure()
    longer = replace(TODAY, end=TODAY.end + timedelta(days=9))
    prove_day(till.engine, till.chain, longer, now=till.now)
    with reading(till.engine) as connection:
        (gap,) = store.gaps(connection, longer)
    assert (gap.address, gap.verdict, gap.difference, gap.role) == (MINE, "gap", 9, "deposit")
    till.scan(later=timedelta(days=1))
    prove_day(till.engine, till.chain, longer, now=till.now)
    with reading(till.engine) as connection:
        assert store.gaps(connection, longer) == []
    assert total_of(till, longer).received == 10


def test_a_day_that_is_over_is_proven_again_only_when_it_may_have_changed(till: Till) -> None:
    """Until its closing is measured, and when a transfer of it turns up."""
    till.mine((STRANGER, MINE, 10), upto=50)
    till.measure()
    till.mine((STRANGER, MINE, 1), upto=130)
    prove_days(till.engine, till.chain, CALENDAR, now=till.now)
    assert total_of(till, YESTERDAY).whys == {"cut_not_found_yet": 1}
    till.measure()
    prove_days(till.engine, till.chain, CALENDAR, now=till.now)
    assert total_of(till, YESTERDAY).proved == 1
    wrote: list[str] = []
    event.listen(till.engine, "before_cursor_execute", lambda *given: wrote.append(given[2]))
    later = till.now + timedelta(hours=2)
    prove_days(till.engine, till.chain, CALENDAR, now=later)
    assert sum("DELETE FROM day_proofs" in one for one in wrote) < 8


def test_a_day_of_many_addresses_is_proven_seldomer(till: Till) -> None:
    """So that it never takes more than a small part of the time."""
    till.mine((STRANGER, MINE, 10))
    till.measure()
    moments = []
    for seconds in (0, 1, 1_000, 1_500):
        now = till.now + timedelta(seconds=seconds)
        prove_days(till.engine, till.chain, CALENDAR, now=now)
        with reading(till.engine) as connection:
            ((total, proven_at),) = store.totals(connection, TODAY)
            moments.append(proven_at == now)
        with writing(till.engine) as connection:
            many = replace(total, whys={"measured_once": 100_000})
            store.keep(connection, till.chain.name, TODAY, [many], [], now=proven_at)
    assert moments == [True, False, False, True]


def test_tokens_of_different_places_are_one_total() -> None:
    """In the units of the finest: nothing below a micro is lost."""
    coarse = Total(chain="a", contract="x", decimals=6, proved=2, opening=1, received=2, sent=1, measured=2)
    fine = Total(
        chain="b", contract="y", decimals=18, gap=1, opening=5, received=1, measured=7, whys={"measured_once": 1}
    )
    one = in_one([coarse, fine])
    assert (one.decimals, one.opening, one.closing, one.difference) == (18, 10**12 + 5, 2 * 10**12 + 6, 1)
    assert (one.proved, one.gap, one.unprovable) == (2, 1, 1)


def test_eighteen_places_are_kept_whole(engine: Engine) -> None:
    """More than a database's whole numbers hold."""
    till = Till(engine, multicall=MULTICALL, tokens=(Token(contract=USDT, decimals=18),))
    till.node.decimals = 18
    till.scan()
    till.mine((STRANGER, MINE, 10**22 + 1))
    till.measure()
    till.mine((STRANGER, MINE, 3))
    till.measure()
    prove_days(engine, till.chain, CALENDAR, now=till.now)
    assert (total_of(till).closing, total_of(till).proved) == (10**22 + 4, 1)
