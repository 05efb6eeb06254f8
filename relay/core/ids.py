"""Own the ids that we give out."""

from __future__ import annotations

from datetime import datetime


def time_ordered_id(prefix: str, moment: datetime, random: bytes) -> str:
    """Return `prefix_…`, which sorts by time, so that a list by id is a list by age."""
    # Twelve hex digits of milliseconds are enough to sort as text for 8,900 years.
    return f"{prefix}_{int(moment.timestamp() * 1000):012x}{random.hex()}"
