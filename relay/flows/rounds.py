"""Own a round of the reconciler: what changed is judged, what is missing recovered, and what that changed judged at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay.core.actors import Actor
from relay.errors import Conflict
from relay.flows.intake import Intake
from relay.flows.reconcile import Bench, reconcile
from relay.flows.recovery import recover
from relay.store import audit
from relay.store.engine import writing


@dataclass(frozen=True, slots=True)
class Round:
    """How a round ended: `complete`, `incomplete`, or `busy` while another process runs; and how much was recovered."""

    state: str
    recovered: int = 0


def go_round(bench: Bench, door: Intake, *, clock: Callable[[], datetime]) -> Round:
    """Run, recover, and run again where something was recovered: its break clears at once, not with the next round."""
    state = reconcile(bench, now=clock())
    recovered = 0 if state == "busy" else recover(bench, door, now=clock())
    if recovered:
        state = reconcile(bench, now=clock())
    return Round(state, recovered)


def run_now(bench: Bench, door: Intake, *, actor: Actor, clock: Callable[[], datetime]) -> Round:
    """Go a round because a person asks for it, with a row in the audit. Conflict while another process runs."""
    done = go_round(bench, door, clock=clock)
    if done.state == "busy" and not done.recovered:
        raise Conflict("a run is under way; look again in a moment")
    with writing(bench.engine) as connection:
        detail = {"state": done.state, "recovered": done.recovered}
        audit.append(
            connection, actor=actor.id, act="reconciliation.run", subject="reconciliation", now=clock(), detail=detail
        )
    return done
