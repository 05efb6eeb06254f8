"""Own what the jobs of one process share."""

from __future__ import annotations

import functools
import os

from config.settings import load
from relay.bootstrap import Runtime, build


@functools.cache
def runtime() -> Runtime:
    """Return what this process works with, built on first use: after any fork, before any connection."""
    return build(load(os.environ))
