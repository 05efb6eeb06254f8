"""Own one break as whoever works on it reads it: three witnesses, the field that differs with both values, what happened, what is next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.core.advice import heading, next_step, rule, why
from relay.core.chain_addresses import family_of, show_address
from relay.core.hashes import show_hash
from relay.core.sides import Line, Side
from relay.core.sources import Source
from relay.errors import NotFound
from relay.flows.order_story import Story, story_of
from relay.flows.timeline import Step
from relay.store import audit, break_list
from relay.store.engine import reading

MOST_ACTS = 500
# A break that is about no order has nobody to lay beside each other.
NO_STORY = "it is about no order that we have"


@dataclass(frozen=True, slots=True)
class BreakStory:
    """A break in words, with the sides and fields of its order, and every act upon it among what happened."""

    row: dict[str, Any]
    difference: str
    sides: Sequence[Side]
    lines: Sequence[Line]
    steps: Sequence[Step]


def worded(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a break with what it is about, why it is open with both values, and what to do next."""
    evidence = json.loads(row["evidence"] or "{}")
    return {
        **row,
        "evidence": evidence,
        "spot": spot_of(row),
        "named": None if row["chain"] is None else _named(row),
        "heading": heading(row["kind"]),
        "rule": rule(row["kind"]),
        "why": why(row["kind"], evidence),
        "next_step": next_step(row["kind"]) if row["state"] == "open" else "Nothing to do.",
    }


def spot_of(row: Mapping[Any, Any]) -> str | None:
    """Return what a break without an order is about, as its chain's people know it; None where it has an order."""
    return None if row["chain"] is None else f"{_named(row)} on {row['chain']}"


def _named(row: Mapping[Any, Any]) -> str:
    family = family_of(row["chain"])
    return show_hash(row["tx_hash"], family) if row["tx_hash"] else show_address(row["address"], family)


def break_story(engine: Engine, sources: Mapping[str, Source], break_id: str, *, actor: Actor) -> BreakStory:
    """Return the story of a break; NotFound when there is none."""
    with reading(engine) as connection:
        row = break_list.find(connection, break_id)
        acts = audit.of_subject(connection, break_id, most=MOST_ACTS)
    if row is None:
        raise NotFound("no such break")
    told = _of_order(engine, sources, row, actor)
    steps = [*(told.steps if told else ()), *map(_act, acts)]
    return BreakStory(
        row=worded(row),
        difference=told.difference if told else NO_STORY,
        sides=told.sides if told else (),
        lines=told.lines if told else (),
        steps=sorted(steps, key=lambda step: step.at),
    )


def _of_order(engine: Engine, sources: Mapping[str, Source], row: RowMapping, actor: Actor) -> Story | None:
    if row["namespace"] is None or row["orderid"] is None:
        return None
    try:
        return story_of(engine, sources, (row["namespace"], row["orderid"]), actor=actor)
    except NotFound:
        return None


def _act(row: RowMapping) -> Step:
    told = {"done": row["act"], "actor": row["actor"], **json.loads(row["detail"])}
    return Step(row["at"], "act", str(row["sequence"]), told)
