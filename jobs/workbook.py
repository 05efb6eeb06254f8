"""Own the job that makes a workbook which is too large for a request."""

from __future__ import annotations

from jobs.parts import runtime
from relay.bootstrap import desk_of, now
from relay.edge.workbook import write_workbook
from relay.flows.workbook import make_asked


def run(export_id: str) -> None:
    """Make one, by the id under which it was asked for."""
    make_asked(desk_of(runtime()), export_id, write=write_workbook, now=now())
