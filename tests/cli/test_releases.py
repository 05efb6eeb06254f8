"""The release of a held order from the shell."""

from __future__ import annotations

from sqlalchemy import Engine

from tests.cli.conftest import CommandLine
from tests.cli.test_commands import acts
from tests.rows import a_stored_order


def test_a_held_order_is_released_and_the_act_is_audited(relay: CommandLine, engine: Engine) -> None:
    """It says what became of the order; what does not fit changes nothing and is told in one line."""
    a_stored_order(engine, "sh-1", state="held", held_reason="above_limit", credited_micros=0)
    words = ("orders", "release", "crossing", "sh-1")
    refused = relay(*words, "adjust", "--reason", "x", "--amount=-1", code=1)
    assert refused.stderr == "Error: nothing was credited yet; credit it instead\n"
    for wrong in (("free", "--reason", "x"), ("credit",), ("credit", "--reason", "x", "--amount", "1e3")):
        relay(*words, *wrong, code=2)
    done = relay(*words, "credit", "--reason", "the provider confirms it", "--amount", "2.5")
    assert done.stdout == "sh-1 is succeeded, credited with 2.500000 USDT\n"
    assert acts(engine) == [("order.release", "cli")]
