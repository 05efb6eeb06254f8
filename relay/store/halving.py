"""Own the search for the first row of a time in a table whose numbers grow with it: no index of times is needed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, func, select


def first_since(connection: Connection, number: Column[Any], time: Column[Any], moment: datetime) -> int:
    """Return the number of the first row of a moment or later; one above all where there is none."""
    low, high = 0, (connection.scalar(select(func.max(number))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(number.label("number"), time.label("time")).where(number >= middle).order_by(number)
        row = connection.execute(query.limit(1)).first()
        if row is None or row.time >= moment:
            high = middle
        else:
            low = row.number + 1
    return low
