"""Own the shape of a class of breaks, and how one is told of by who finds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Heading(StrEnum):
    """What a break is about, in the words of whoever has to act."""

    OWED = "owed to users"
    UNBACKED = "credited without backing"
    DIFFERS = "amounts differ"
    LEAVING = "money leaving"
    BEHIND = "services behind"
    STALE = "sources stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakClass:
    """One class. Severity 1 is money at risk, 4 information.

    `by` says who finds it: `run` the reconciler where it judges an order,
    `chain` the reconciler where it judges money that is no order's, `intake`
    the judgement of callbacks, `court` who judges reorgs, `close` who looks
    after sealed days, `needs` nobody yet, for the input that `needs` names is
    not there.
    """

    name: str
    heading: Heading
    severity: int
    rule: str
    action: str
    evidence: str
    clears: str
    step: str
    by: str = "run"
    needs: str = ""

    @property
    def holds(self) -> bool:
        """Whether it stops what no subscriber was sent yet, until it clears or a person closes it."""
        return self.action == HOLD


ONE, TWO, THREE, FOUR = 1, 2, 3, 4
# What the run does by itself where it says so: stop what was not sent, and tell.
HOLD = "hold what was not sent yet, alert"
SIDES = "what callback, provider and chain say, and what is credited"
# What the intake does by itself: the order waits for a person.
HOLD_ORDER = "hold the order, alert"
A_PERSON = "a named person decides"


def run_class(name: str, heading: Heading, severity: int, *words: str, by: str = "run") -> BreakClass:
    """Return a class that the reconciler finds; `words` are rule, action, evidence, what clears it, and the next step."""
    rule, action, evidence, clears, step = words
    return other_class(name, heading, severity, rule, by=by, action=action, evidence=evidence, clears=clears, step=step)


def other_class(
    name: str,
    heading: Heading,
    severity: int,
    rule: str,
    *,
    by: str = "intake",
    action: str = "alert",
    evidence: str = "field by field, both values",
    clears: str = A_PERSON,
    step: str = "",
) -> BreakClass:
    """Return a class that is found by who is not the reconciler; most wait for a person."""
    return BreakClass(
        name=name,
        heading=heading,
        severity=severity,
        rule=rule,
        action=action,
        evidence=evidence,
        clears=clears,
        step=step
        or "Compare both values and ask the provider. Where the order is held, open it and press Ask for it: credit, adjust, reverse or discard.",
        by=by,
    )


def needing_class(name: str, heading: Heading, severity: int, rule: str, needs: str) -> BreakClass:
    """Return a class that nobody finds before the input is there that it `needs`."""
    return BreakClass(
        name=name,
        heading=heading,
        severity=severity,
        rule=rule,
        action="none",
        evidence="",
        clears="",
        step=f"This class needs input: {needs}.",
        by="needs",
        needs=needs,
    )
