"""Own how programs look at the reconciler: where it stands, its runs, and a run that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from relay.bootstrap import bench_of, now
from relay.core.actors import FINANCE
from relay.core.advice import heading, severity
from relay.core.break_class import Heading
from relay.errors import NotFound
from relay.flows import reconcile as flow
from relay.flows.rounds import run_now
from relay.store import runs as store
from relay.store.engine import reading
from relay.web.api.common import ByNumber, Listed, ListQuery, Moment, Shape, listed, part, shown, usdt
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("reconciliation", "The join of callbacks, providers and chains: its runs, and where it stands.")


class RunShape(Shape):
    """A run that ended. `last_checked` is when a later look found nothing new; `manifest` hashes to `manifest_hash` as canonical JSON."""

    id: int
    kind: Literal["incremental", "daily", "weekly"]
    state: Literal["complete", "incomplete"]
    reason: str
    finished_at: Moment
    last_checked: Moment
    manifest_hash: str
    manifest: Annotated[dict[str, Any], BeforeValidator(json.loads)]


class OpenKind(Shape):
    """The open breaks of a class, with what they are about and their sum in USDT."""

    heading: Heading | Literal[""]
    severity: int | None
    count: int
    amount: str


class Stopped(Shape):
    """What brakes have stopped, all sources together, in USDT."""

    count: int
    amount: str


class StandingShape(Shape):
    """Where the reconciler stands: its newest run (null before the first), open breaks by class, and what brakes have stopped."""

    run: RunShape | None
    open: dict[str, OpenKind]
    stopped: Stopped


class RoundShape(Shape):
    """How a round ended that somebody asked for, and how many payments it recovered."""

    state: Literal["complete", "incomplete"]
    recovered: int
    run: RunShape


class RunQuery(ListQuery):
    """Which runs."""

    kind: Literal["incremental", "daily", "weekly"] | None = None


@routes.get("/reconciliation", responses={200: StandingShape})
@role(*FINANCE)
def show_standing() -> dict[str, Any]:
    """Tell the newest run, what is open, and what brakes have stopped."""
    found = flow.status(runtime().engine)
    kinds = {name: _open_kind(name, one) for name, one in found["open"].items()}
    stopped = {"count": found["stopped"]["count"], "amount": usdt(found["stopped"]["micros"])}
    return shown(StandingShape, found | {"open": kinds, "stopped": stopped})


def _open_kind(name: str, one: Mapping[str, int]) -> dict[str, Any]:
    return {"heading": heading(name), "severity": severity(name), "count": one["count"], "amount": usdt(one["micros"])}


@routes.get("/reconciliation/runs", responses={200: Listed[RunShape]})
@role(*FINANCE)
def list_runs(query: RunQuery) -> dict[str, Any]:
    """List runs that ended, the newest first; one that died left none, and one that found nothing new moved `last_checked`."""
    with reading(runtime().engine) as connection:
        page = store.page(connection, **query.model_dump())
    return listed(RunShape, page.rows, page.next)


@routes.get("/reconciliation/runs/<int:id>", responses={200: RunShape})
@role(*FINANCE)
def show_run(path: ByNumber) -> dict[str, Any]:
    """Show one run: its cut, what it counted, what was open when it ended."""
    with reading(runtime().engine) as connection:
        row = store.find(connection, path.id)
    if row is None:
        raise NotFound("no such run")
    return shown(RunShape, row)


@routes.post("/reconciliation/runs", responses={200: RoundShape})
@role("preparer")
def start_run() -> dict[str, Any]:
    """Run now, and answer when it has ended; 409 while another run is under way."""
    done = run_now(bench_of(runtime(), actor().id), runtime().intake, actor=actor(), clock=now)
    runtime().memory.ring()
    with reading(runtime().engine) as connection:
        row = store.last(connection)
    return shown(RoundShape, {"state": done.state, "recovered": done.recovered, "run": row})
