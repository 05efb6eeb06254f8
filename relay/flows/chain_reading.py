"""Own what is believed of one node: heads, headers and logs, each answer checked against the others of its batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from relay.core.chains import Chain
from relay.core.facts import Transfer
from relay.core.finality import tag_of
from relay.core.logs import (
    TOKEN_EVENTS,
    TRANSFER,
    Header,
    Log,
    TokenEvent,
    is_between_others,
    parse_header,
    parse_log,
    parties_of,
    quantity,
    token_event_of,
    transfer_of,
)
from relay.core.multicall import parse_units
from relay.core.ranges import is_limit
from relay.errors import NodeFault
from relay.ports import Node, NodeError

Raw = TypeVar("Raw")
Value = TypeVar("Value")
Call = tuple[str, Sequence[object]]
# The watched addresses, or who tells which of some are watched: where they are too many to be named in a question.
Watched = frozenset[str] | Callable[[Collection[str]], frozenset[str]]
# Calls of one batch. Nodes refuse large ones, and each of these may be answered with many logs.
BATCH = 40
DECIMALS = "0x313ce567"


class TooMuch(NodeFault):
    """The node was asked for too much at once; its own words may suggest a range."""

    code = "limit"


# How an exchange fails as a whole when less might be answered.
_LESS = {"limit", "too_large"}


@dataclass(frozen=True, slots=True)
class Tips:
    """The ends of a chain as one node sees them in one batch; `asked` holds the blocks that were asked for and exist."""

    head: Header
    final: Header | None
    asked: dict[int, Header]


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in some blocks, `tail` being the last of them; `logs` counts other people's too, as far as they were told."""

    tail: Header
    transfers: list[Transfer]
    events: list[TokenEvent]
    logs: int


class Reader:
    """Reads a chain from one node. Whatever a node may not answer is a NodeFault: nothing was learnt then."""

    def __init__(self, chain: Chain, node: Node) -> None:
        self._chain = chain
        self._node = node

    def tips(self, numbers: Collection[int]) -> tuple[Tips, str | None]:
        """Return head, final block and the blocks `numbers`, and how the node's tokens differ from the configuration (None: not).

        All in one batch, for it is asked at each scan. A wrong chain id is `wrong_chain`.
        """
        tag = tag_of(self._chain)
        asked = sorted(set(numbers))
        calls: list[Call] = [("eth_chainId", []), _block("latest"), *map(_block, map(hex, asked))]
        calls += [_block(tag)] if tag else []
        answers = self.ask([*calls, *self._identity()], strict=False)
        told, identity = answers[: len(calls)], answers[len(calls) :]
        self._refuse(told)
        chain_id = self.parsed(quantity, told[0])
        if chain_id != self._chain.chain_id:
            raise NodeFault(f"{self._node.name}: is on chain {chain_id}", code="wrong_chain")
        head = self.header_of(told[1])
        final = self.header_of(told[-1]) if tag and told[-1] is not None else None
        known = {number: self.header_of(one, number) for number, one in zip(asked, told[2:], strict=False) if one}
        return Tips(head, final, known), self._identity_fault(identity)

    def _identity(self) -> Iterator[Call]:
        for token in self._chain.tokens:
            yield ("eth_getCode", [token.contract, "latest"])
            yield ("eth_call", [{"to": token.contract, "data": DECIMALS}, "latest"])

    def _identity_fault(self, told: Sequence[object]) -> str | None:
        for token, code, decimals in zip(self._chain.tokens, told[::2], told[1::2], strict=True):
            # A node without eth_getCode (-32601) still proves the code by what it answers to decimals().
            if code in ("0x", "0x0", None):
                return f"there is no contract at {token.contract}"
            if isinstance(decimals, NodeError) or not isinstance(decimals, str):
                return f"{token.contract} does not tell its decimals"
            if len(decimals) != 66 or self.parsed(parse_units, decimals) != token.decimals:
                return f"{token.contract} has not the {token.decimals} decimals that the configuration says"
        return None

    def multicall_fault(self) -> str | None:
        """Return why balances cannot be asked of the configured Multicall3, None when they can or none is configured."""
        if self._chain.multicall is None:
            return None
        (code,) = self.ask([("eth_getCode", [self._chain.multicall, "latest"])], strict=False)
        missing = code in ("0x", "0x0", None)
        return f"there is no Multicall3 at {self._chain.multicall}: balances are not proven" if missing else None

    def headers(self, numbers: Sequence[int]) -> list[Header]:
        """Return the headers of blocks in their order; one that the node lacks is a fault."""
        found = []
        for part in _parts(numbers, BATCH):
            told = self.ask([_block(hex(number)) for number in part])
            found += [self.header_of(one, number) for number, one in zip(part, told, strict=True)]
        return found

    def linked(self, before: Header | None, last: int, first: int) -> list[Header]:
        """Return the headers `first` to `last`, each the child of the one before it."""
        found = self.headers(range(first, last + 1))
        for one in found:
            if before is not None and one.parent_hash != before.hash:
                raise NodeFault(f"{self._node.name}: block {one.number} moved while it was read", code="moved")
            before = one
        return found

    def read_range(self, first: int, last: int, watched: Watched) -> Found:
        """Return what stands in blocks `first` to `last`.

        An empty answer counts only when the same batch shows the node's head past the range.
        """
        span = {"fromBlock": hex(first), "toBlock": hex(last)}
        calls = [_logs(span | one) for one in self._filters(watched)]
        told = self.ask([*calls, _block(hex(last)), _block("latest")])
        tail, head = told[-2], told[-1]
        if tail is None or self.header_of(head).number < last:
            raise NodeFault(f"{self._node.name}: has not block {last} yet", code="lagging")
        mine = _known(watched, told[:-2])
        logs, count = self._logs(told[:-2], mine)
        if any(not first <= log.block_number <= last for log in logs):
            raise NodeFault(f"{self._node.name}: answers with blocks that nobody asked for", code="protocol")
        known = [self.header_of(tail, last)]
        numbers = {log.block_number for log in logs if self._concerns(log, mine)} - {last}
        return self._found([*self.headers(sorted(numbers)), *known], logs, mine, count)

    def read_blocks(self, headers: Sequence[Header], watched: Watched) -> Found:
        """Return what stands in exactly these blocks, asked by their hashes: another branch cannot answer."""
        logs: list[Log] = []
        mine: frozenset[str] = frozenset()
        told_of = 0
        filters = list(self._filters(watched))
        for part in _parts(headers, max(1, BATCH // len(filters))):
            told = self.ask([_logs({"blockHash": header.hash} | one) for header in part for one in filters])
            known = _known(watched, told)
            found, count = self._logs(told, known)
            mine |= known
            logs += found
            told_of += count
        if {log.block_number for log in logs} - {header.number for header in headers}:
            raise NodeFault(f"{self._node.name}: answers with blocks that nobody asked for", code="protocol")
        return self._found(headers, logs, mine, told_of)

    def _found(self, headers: Sequence[Header], logs: Iterable[Log], watched: frozenset[str], count: int) -> Found:
        by_number = {header.number: header for header in headers}
        transfers, events = [], []
        for log in logs:
            header = by_number.get(log.block_number)
            if header is None:
                continue
            if header.hash != log.block_hash:
                raise NodeFault(f"{self._node.name}: block {log.block_number} moved while it was read", code="moved")
            if (event := token_event_of(log, self._chain)) is not None:
                events.append(event)
            elif self._concerns(log, watched):
                transfers += self._transfers(log, header)
        return Found(headers[-1], transfers, events, count)

    def _transfers(self, log: Log, header: Header) -> list[Transfer]:
        found = self.parsed(lambda one: transfer_of(one, self._chain, block_time=header.time), log)
        return [] if found is None else [found]

    def _concerns(self, log: Log, watched: frozenset[str]) -> bool:
        if log.topics and log.topics[0] in TOKEN_EVENTS:
            return True
        return any("0x" + topic[26:] in watched for topic in log.topics[1:3])

    def _filters(self, watched: Watched) -> Iterator[dict[str, object]]:
        contracts = [token.contract for token in self._chain.tokens]
        yield {"address": contracts, "topics": [sorted(TOKEN_EVENTS)]}
        if not isinstance(watched, frozenset):
            yield {"address": contracts, "topics": [TRANSFER]}
            return
        for part in _parts(sorted(watched), self._chain.topics):
            words = ["0x" + "0" * 24 + address[2:] for address in part]
            yield {"address": contracts, "topics": [TRANSFER, None, words]}
            yield {"address": contracts, "topics": [TRANSFER, words]}

    def _logs(self, answers: Iterable[object], watched: frozenset[str]) -> tuple[list[Log], int]:
        """Return the logs of some answers by block and index, each once, and how many there were with strangers'.

        One that comes in two versions is a fault.
        """
        found: dict[tuple[str, int], Log] = {}
        count = 0
        for answer in answers:
            if not isinstance(answer, list):
                raise NodeFault(f"{self._node.name}: answers without a list of logs", code="protocol")
            # As many as the node gives at most: it may have left out the rest without a word.
            if len(answer) >= self._chain.results:
                raise TooMuch(f"{self._node.name}: answers with {len(answer)} logs")
            count += len(answer)
            for raw in answer:
                if is_between_others(raw, watched):
                    continue
                log = self.parsed(parse_log, raw)
                if self._chain.token(log.contract) and found.setdefault((log.block_hash, log.index), log) != log:
                    raise NodeFault(f"{self._node.name}: tells one log in two versions", code="protocol")
        return sorted(found.values(), key=lambda log: (log.block_number, log.index)), count

    def ask(self, calls: Sequence[Call], *, strict: bool = True) -> list[object]:
        """Return the answers to one batch; when `strict`, an error of any call is a fault."""
        try:
            told = self._node.ask(calls)
        except NodeFault as error:
            if error.code in _LESS:
                raise TooMuch(error.detail) from error
            raise
        if strict:
            self._refuse(told)
        return told

    def _refuse(self, told: Sequence[object]) -> None:
        for one in told:
            if isinstance(one, NodeError):
                words = f"{self._node.name}: {one.message}"
                raise TooMuch(words) if is_limit(one.code, one.message) else NodeFault(words, code="refused")

    def header_of(self, raw: object, number: int | None = None) -> Header:
        """Return the header that an answer is; None, or another block than `number`, is a fault."""
        if raw is None:
            raise NodeFault(f"{self._node.name}: lacks a block", code="lagging")
        header = self.parsed(parse_header, raw)
        if number is not None and header.number != number:
            raise NodeFault(f"{self._node.name}: answers with another block", code="protocol")
        return header

    def parsed(self, parse: Callable[[Raw], Value], raw: Raw) -> Value:
        """Return what an answer says; a ValueError of `parse` is a fault of the node."""
        try:
            return parse(raw)
        except ValueError as error:
            raise NodeFault(f"{self._node.name}: {error}", code="protocol") from error


def _known(watched: Watched, answers: Iterable[object]) -> frozenset[str]:
    """Return the watched addresses that answers may name: no more is read of a large book than they ask for."""
    if isinstance(watched, frozenset):
        return watched
    named = {one for told in answers if isinstance(told, list) for raw in told for one in parties_of(raw)}
    return watched(named) if named else frozenset()


def _block(which: str) -> Call:
    return ("eth_getBlockByNumber", [which, False])


def _logs(wanted: dict[str, object]) -> Call:
    return ("eth_getLogs", [wanted])


def _parts(items: Sequence[Value], size: int) -> Iterator[Sequence[Value]]:
    return (items[at : at + size] for at in range(0, len(items), size))
