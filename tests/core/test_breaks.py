"""The classes of breaks, and where people read of them."""

from __future__ import annotations

from pathlib import Path

from relay.core.breaks import CLASSES

FINANCE = (Path(__file__).parents[2] / "docs" / "finance.md").read_text()


def test_every_class_is_in_the_docs() -> None:
    """With its severity and heading."""
    rows = [line for line in FINANCE.splitlines() if line.startswith("| `")]
    missing = [
        one.name
        for one in CLASSES.values()
        if not any(line.startswith(f"| `{one.name}` | {one.severity} | {one.heading}") for line in rows)
    ]
    assert missing == []
