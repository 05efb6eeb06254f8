"""docs/moving.md, followed: the configuration of each stage starts, and the switches are what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.sources import parse_sources
from relay.core.sources import Source

PAGE = (Path(__file__).parents[1] / "docs" / "moving.md").read_text(encoding="utf-8")
STAGES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
WORDS = {
    "UPSTREAM_APPID": "VunT0000h1l8",
    "UPSTREAM_SECRET": "relay-test-secret-of-the-old-one",
    "UPSTREAM_V2_KEY": "relay-test-secret-of-the-new-one",
}


def stage(number: int) -> dict[str, Source]:
    """The sources that a stage configures."""
    faults: list[str] = []
    sources = parse_sources(STAGES[number], WORDS.get, faults)  # type: ignore[arg-type] # a plain mapping
    assert faults == []
    return sources


@pytest.mark.parametrize("number", range(len(STAGES)))
def test_every_stage_can_be_started(number: int) -> None:
    """And its sources share one history."""
    assert len({source.namespace for source in stage(number).values()}) == 1


def test_one_side_credits_at_each_stage() -> None:
    """The old handler is asked until the source is live, and never after."""
    said = [{name: (one.credits, bool(one.upstream_handler)) for name, one in stage(n).items()} for n in range(4)]
    assert said == [
        {"crossing": (False, False)},
        {"crossing": (False, True)},
        {"crossing": (False, True), "trial": (True, False)},
        {"crossing": (True, False), "trial": (True, False)},
    ]
    assert all(source.live_from is not None for n in range(4) for source in stage(n).values())
