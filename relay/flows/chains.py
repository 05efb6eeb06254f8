"""Own what people may see of the chains and do to one that stopped: let it be read again, from a block that they know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.core.chains import Chain
from relay.core.hashes import parse_hash
from relay.core.ranges import Range
from relay.errors import Conflict, NotFound, Unprocessable
from relay.store import audit
from relay.store import chain as store
from relay.store.engine import reading, writing


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainView:
    """A configured chain as people see it; `state` is off, waiting (never read), stopped, degraded or read."""

    name: str
    state: str
    trouble: str | None = None
    first_block: int | None = None
    head_number: int | None = None
    final_number: int | None = None
    scanned_at: datetime | None = None
    nodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block that a person found on the true chain."""

    number: int
    hash: str


def overview(engine: Engine, chains: Mapping[str, Chain]) -> list[ChainView]:
    """Return every configured chain, by name."""
    with reading(engine) as connection:
        states = store.states(connection)
    return [_view(chains[name], states.get(name)) for name in sorted(chains)]


def resume(engine: Engine, name: str, known_good: Block | None, *, actor: Actor, now: datetime) -> int:
    """Let a stopped chain be read again; return how many transfers were given up and will be read again.

    Without `known_good` the nodes were wrong, and what was read stands. With
    it everything above that block is given up. Raises NotFound, Conflict for
    a chain that is not stopped, Unprocessable for a block that was not read as final.
    """
    with writing(engine) as connection:
        state = store.states(connection).get(name)
        if state is None:
            raise NotFound("no such chain was ever read")
        if state["stopped"] is None:
            raise Conflict("the chain is not stopped")
        lost = store.resume(connection, name, _range(state, known_good), now=now)
        detail = {"stopped": state["stopped"], "transfers": lost}
        if known_good is not None:
            detail |= {"block": known_good.number, "hash": known_good.hash, "final_before": state["final_number"]}
        audit.append(connection, actor=actor.id, act="chain.resume", subject=name, now=now, detail=detail)
    return lost


def _range(state: RowMapping, known_good: Block | None) -> Range | None:
    if known_good is None:
        return None
    first, final = state["first_block"], state["final_number"]
    if first is None or final is None or not first <= known_good.number <= final:
        raise Unprocessable(f"block must lie between {first} and {final}: what was read as final", pointer="/block")
    try:
        return Range(first, known_good.number, parse_hash(known_good.hash))
    except ValueError as error:
        raise Unprocessable(f"hash {error}", pointer="/hash") from None


def _view(chain: Chain, state: RowMapping | None) -> ChainView:
    if not chain.is_on or state is None:
        return ChainView(name=chain.name, state="waiting" if chain.is_on else "off", nodes=len(chain.nodes))
    standing = "stopped" if state["stopped"] else "degraded" if state["trouble"] else "read"
    return ChainView(
        name=chain.name,
        state=standing,
        trouble=state["trouble"],
        first_block=state["first_block"],
        head_number=state["head_number"],
        final_number=state["final_number"],
        scanned_at=state["scanned_at"],
        nodes=len(chain.nodes),
    )
