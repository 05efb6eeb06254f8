"""Own the promise that no child outlives its supervisor, however that ends.

The supervisor writes `+<group>` for every process group it starts and
`-<group>` once it has reaped it. When the pipe closes, the supervisor is gone
and what is still listed is ended. A pipe closes on every system, also when its
writer is killed; so this needs nothing of one operating system.
Run by path, with the standard library alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

PATIENCE_S = 10.0


def listed(lines: Iterable[str]) -> set[int]:
    """Return the process groups that are still listed when the lines end."""
    groups: set[int] = set()
    for line in lines:
        sign, group = line[:1], int(line[1:])
        (groups.add if sign == "+" else groups.discard)(group)
    return groups


def end(groups: set[int], *, patience_s: float) -> None:
    """Ask the groups to end, and after `patience_s` make them."""
    alive = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + patience_s
    while alive and time.monotonic() < deadline:
        time.sleep(0.1)
        alive = {group for group in alive if _signal(group, 0)}
    for group in alive:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers "not permitted" for a group of which only a corpse is left.
        return False
    return True


def main() -> None:
    """Wait for the supervisor's end; a Ctrl-C is for the supervisor, not for its guard."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end(listed(sys.stdin), patience_s=PATIENCE_S)


if __name__ == "__main__":
    main()
