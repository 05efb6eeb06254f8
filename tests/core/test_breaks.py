"""The classes of breaks, and where people read of them."""

from __future__ import annotations

from pathlib import Path

from relay.core.break_class import BreakClass, Heading
from relay.core.breaks import CLASSES

FINANCE = (Path(__file__).parents[2] / "docs" / "finance.md").read_text()


def test_the_docs_say_what_the_data_says() -> None:
    """Class by class: severity, heading, rule, what happens by itself, what is shown, what ends it; what needs an input comes last."""
    table = FINANCE.split("| class | severity |")[1].split("\n\n")[0]
    assert table.splitlines()[2:] == [row_of(one) for one in sorted(CLASSES.values(), key=place_of)]


def place_of(one: BreakClass) -> tuple[bool, int, int, str]:
    return (bool(one.needs), list(Heading).index(one.heading), one.severity, one.name)


def row_of(one: BreakClass) -> str:
    action = f"needs input: {one.needs}" if one.needs else one.action
    shown = (action, one.evidence or "—", one.clears or "—")
    told = (f"`{one.name}`", str(one.severity), one.heading.value, one.rule, *shown)
    return f"| {' | '.join(told)} |"
