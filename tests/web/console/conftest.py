"""Own that these pages are tried on SQLite alone: what they ask the database is tried on both where it is written."""

from __future__ import annotations

import pytest


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The URL of a file with our tables."""
    return sqlite_url
