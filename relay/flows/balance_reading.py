"""Own the asking of a node what addresses hold: at one block that the answer itself names, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relay.core.chains import Chain
from relay.core.logs import Header
from relay.core.multicall import AGGREGATE, Weighed, ask_balances, balance_of, parse_units, read_balances
from relay.errors import NodeFault
from relay.flows.chain_reading import BATCH, Call, Reader
from relay.ports import NodeError, SolidState

log = logging.getLogger(__name__)

Key = tuple[str, str]  # contract, address
# Balances of one call to a Multicall3: far below what nodes let a call cost.
PART = 200
TRIES = 3


class NoState(NodeFault):
    """The node does not tell balances at a past block."""

    code = "no_state"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What addresses held at the end of a block, by (contract, address); one that a token would not tell is left out."""

    block: Header
    units: dict[Key, int]


def read_pinned(reader: Reader, chain: Chain, block: tuple[int, str], wanted: Sequence[Key]) -> Snapshot:
    """Return what is held at the end of a block (number, hash).

    The block is pinned in each call; a Multicall3 tells the number in the same call, which finds out a node
    that answers from its head instead. Raises NoState where the node cannot, NodeFault where its block is another one.
    """
    number, block_hash = block
    header, units = None, {}
    for part in _parts(wanted, PART if chain.multicall else BATCH - 1):
        told = reader.ask([_block(hex(number)), *_calls(chain, part, hex(number))], strict=False)
        header = reader.header_of(told[0], number)
        if header.hash != block_hash:
            raise NodeFault(f"block {number} is another one there", code="moved")
        if any(isinstance(one, NodeError) for one in told[1:]):
            raise NoState(f"tells nothing of block {number}")
        units.update(_read(reader, chain, header, part, told[1:]))
    if header is None:
        raise ValueError("nothing is wanted")
    return Snapshot(header, units)


def read_latest(reader: Reader, chain: Chain, wanted: Sequence[Key]) -> Iterator[Snapshot]:
    """Yield what is held at the node's head, which counts once that block is final.

    Head, balances and head again in one batch: only when both heads are one block, and the
    Multicall3 was executed in it, is it known what the answer speaks of. Raises NodeFault otherwise.
    """
    if chain.multicall is None:
        raise NodeFault(f"{chain.name}: without a Multicall3 nobody knows of which block the head's balances are")
    for part in _parts(wanted, PART):
        yield _at_head(reader, chain, part)


def read_solid(
    reader: Reader, services: Sequence[SolidState], chain: Chain, wanted: Sequence[Key]
) -> Iterator[Snapshot]:
    """Yield what is held at the end of TRON's last solidified block, by the first service that answers.

    The Multicall3 tells the block and its parent in the same call, and the node must have it behind that very parent.
    """
    if chain.multicall is None:
        raise NodeFault(f"{chain.name}: without a Multicall3 nobody knows of which block the balances are")
    for part in _parts(wanted, PART):
        told = _first(services, chain.multicall, ask_balances(chain.multicall, part)[10:])
        weighed = _weighed(reader, told, part)
        (header,) = reader.headers([weighed.number])
        yield Snapshot(header, _units(chain, header, part, weighed))


def _first(services: Sequence[SolidState], multicall: str, parameter: str) -> str:
    for service in services[:-1]:
        try:
            return service.call(multicall, AGGREGATE, parameter)
        except NodeFault as error:
            log.warning("service_failed", extra={"node": service.name, "error": error.code})
    return services[-1].call(multicall, AGGREGATE, parameter)


def _at_head(reader: Reader, chain: Chain, part: Sequence[Key]) -> Snapshot:
    for _ in range(TRIES):
        before, told, after = reader.ask([_block("latest"), *_calls(chain, part, "latest"), _block("latest")])
        header = reader.header_of(before)
        if reader.header_of(after) != header:
            continue
        return Snapshot(header, _read(reader, chain, header, part, [told]))
    raise NodeFault(f"{chain.name}: the head moves with every question", code="moved")


def _calls(chain: Chain, part: Sequence[Key], at: str) -> list[Call]:
    if chain.multicall is None:
        return [("eth_call", [{"to": contract, "data": balance_of(address)}, at]) for contract, address in part]
    return [("eth_call", [{"to": chain.multicall, "data": ask_balances(chain.multicall, part)}, at])]


def _read(reader: Reader, chain: Chain, header: Header, part: Sequence[Key], told: Sequence[object]) -> dict[Key, int]:
    if chain.multicall is None:
        return {key: reader.parsed(parse_units, one) for key, one in zip(part, told, strict=True)}
    return _units(chain, header, part, _weighed(reader, told[0], part))


def _weighed(reader: Reader, told: object, part: Sequence[Key]) -> Weighed:
    return reader.parsed(lambda one: read_balances(one, len(part)), told)


def _units(chain: Chain, header: Header, part: Sequence[Key], weighed: Weighed) -> dict[Key, int]:
    if (weighed.number, weighed.parent_hash) != (header.number, header.parent_hash):
        raise NodeFault(
            f"{chain.name}: was executed in block {weighed.number}, not {header.number}", code="other_block"
        )
    return {key: units for key, units in zip(part, weighed.units, strict=True) if units is not None}


def _block(which: str) -> Call:
    return ("eth_getBlockByNumber", [which, False])


def _parts(wanted: Sequence[Key], size: int) -> Iterator[Sequence[Key]]:
    return (wanted[at : at + size] for at in range(0, len(wanted), size))
