"""Own the search for the first row of a time in a table whose numbers grow with it: no index of times is needed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, bindparam, text


def first_since(connection: Connection, number: Column[Any], time: Column[Any], moment: datetime) -> int:
    """Return the number of the first row of a moment or later, in one statement; one above all where there is none."""
    search = _HALVING.format(table=number.table.name, number=number.name, time=time.name)
    return int(connection.execute(text(search).bindparams(bindparam("moment", moment, time.type))).scalar_one())


_HALVING = """
    WITH RECURSIVE search(low, high) AS (
        SELECT CAST(0 AS BIGINT), CAST(coalesce((SELECT max({number}) FROM {table}), 0) + 1 AS BIGINT)
        UNION ALL
        SELECT
            CASE WHEN (SELECT {time} FROM {table} WHERE {number} >= (low + high) / 2 ORDER BY {number} LIMIT 1) < :moment
                THEN (SELECT {number} FROM {table} WHERE {number} >= (low + high) / 2 ORDER BY {number} LIMIT 1) + 1
                ELSE low END,
            CASE WHEN (SELECT {time} FROM {table} WHERE {number} >= (low + high) / 2 ORDER BY {number} LIMIT 1) < :moment
                THEN high ELSE (low + high) / 2 END
        FROM search WHERE low < high
    )
    SELECT max(low) FROM search WHERE low >= high
"""
