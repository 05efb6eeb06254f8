"""Own what a log says: Transfer of a token, and the events of a token that explain a gap or announce trouble.

Sources: ERC-20 for Transfer; TetherToken's verified contract on Ethereum for the others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from eth_hash.auto import keccak

from relay.core.chains import Chain
from relay.core.facts import Transfer

_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,15})", re.ASCII)
_HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
# What the columns hold in which numbers of blocks and amounts are kept, and that in which places of logs are.
_BIGINT, _INTEGER = 2**63 - 1, 2**31 - 1
# Digit by digit, and counted apart: what repeats a pair remembers each, 150 bytes for one byte of a log.
_DATA = re.compile(r"0x[0-9a-fA-F]*", re.ASCII)
_PADDED = "0x" + "0" * 24

# How an event is declared, by the kind we store it as. Addresses stand unindexed in Tether's old code.
_DECLARED = {
    "Pause": "Pause()",
    "Unpause": "Unpause()",
    "AddedBlackList": "AddedBlackList(address)",
    "RemovedBlackList": "RemovedBlackList(address)",
    "DestroyedBlackFunds": "DestroyedBlackFunds(address,uint256)",
    "Issue": "Issue(uint256)",
    "Redeem": "Redeem(uint256)",
    "Params": "Params(uint256,uint256)",
    "Deprecate": "Deprecate(address)",
}
TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
TOKEN_EVENTS = {"0x" + keccak(declared.encode()).hex(): kind for kind, declared in _DECLARED.items()}
_ABOUT_ACCOUNT = {"AddedBlackList", "RemovedBlackList", "DestroyedBlackFunds", "Deprecate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What we keep of a block."""

    number: int
    hash: str
    parent_hash: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log in its machine spelling."""

    contract: str
    topics: tuple[str, ...]
    data: str
    block_number: int
    block_hash: str
    tx_hash: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvent:
    """An event of a token beside its transfers; `account` is whom it is about, machine spelling."""

    chain: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    contract: str
    kind: str
    account: str | None
    data: str


def quantity(value: object) -> int:
    """Return a JSON-RPC quantity; ValueError for anything that does not fit a block number."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value.lower()):
        raise ValueError("is not a quantity")
    number = int(value, 16)
    if number > _BIGINT:
        raise ValueError("is a quantity beyond all blocks")
    return number


def digest(value: object) -> str:
    """Return 32 bytes in machine spelling; ValueError for anything else."""
    if not isinstance(value, str) or not _HASH.fullmatch(value.lower()):
        raise ValueError("is not a hash")
    return value.lower()


def parse_header(raw: object) -> Header:
    """Return the header of a block as a node spells it; ValueError for anything else."""
    if not isinstance(raw, Mapping):
        raise ValueError("is not a block")  # noqa: TRY004 a node that answers wrongly is one kind of fault
    return Header(
        number=quantity(raw.get("number")),
        hash=digest(raw.get("hash")),
        parent_hash=digest(raw.get("parentHash")),
        # The last second that a datetime can hold: what a node says may be any number.
        time=datetime.fromtimestamp(min(quantity(raw.get("timestamp")), 253_402_300_799), tz=UTC),
    )


def parse_log(raw: object) -> Log:
    """Return a log; ValueError for anything else, and for one that its node calls removed."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("topics"), list):
        raise ValueError("is not a log")  # noqa: TRY004 as above
    if raw.get("removed"):
        raise ValueError("is a removed log")
    data = raw.get("data")
    if not isinstance(data, str) or len(data) % 2 or not _DATA.fullmatch(data):
        raise ValueError("has no data")
    index = quantity(raw.get("logIndex"))
    if index > _INTEGER:
        raise ValueError("is a log beyond its block")
    return Log(
        contract="0x" + digest("0x" + "0" * 24 + str(raw.get("address"))[2:])[26:],
        topics=tuple(digest(topic) for topic in raw["topics"]),
        data=data.lower(),
        block_number=quantity(raw.get("blockNumber")),
        block_hash=digest(raw.get("blockHash")),
        tx_hash=digest(raw.get("transactionHash")),
        index=index,
    )


def is_between_others(raw: object, watched: Collection[str]) -> bool:
    """Tell whether a log as a node spells it is a Transfer in which nobody watched takes part: of a contract's logs, nearly all.

    What is spelled in any unusual way is not told to be one.
    """
    topics = raw.get("topics") if isinstance(raw, dict) else None
    if not isinstance(topics, list) or len(topics) != 3 or topics[0] != TRANSFER:
        return False
    return all(
        isinstance(one, str) and one[:26] == _PADDED and "0x" + one[26:].lower() not in watched for one in topics[1:]
    )


def parties_of(raw: object) -> Iterator[str]:
    """Yield the addresses that a log as a node spells it names where a Transfer names sender and recipient."""
    topics = raw.get("topics") if isinstance(raw, dict) else None
    for one in topics[1:3] if isinstance(topics, list) else ():
        if isinstance(one, str) and _HASH.fullmatch(one.lower()):
            yield "0x" + one[26:].lower()


def transfer_of(log: Log, chain: Chain, *, block_time: datetime) -> Transfer | None:
    """Return the movement of money that a log is, None when it is none: another event, another contract, no value.

    The value is the event's, net of a token's fee. ValueError for a Transfer that no token of ours can have made.
    """
    token = chain.token(log.contract)
    if token is None or log.topics[:1] != (TRANSFER,):
        return None
    if len(log.topics) != 3 or len(log.data) != 66:
        raise ValueError("is a Transfer of another shape")
    amount_micros, rest = token.split(int(log.data, 16))
    if amount_micros > _BIGINT:
        raise ValueError("moves more than there is")
    if not amount_micros and not rest:
        return None
    return Transfer(
        chain=chain.name,
        tx_hash=log.tx_hash,
        log_index=log.index,
        block_number=log.block_number,
        block_hash=log.block_hash,
        block_time=block_time,
        contract=log.contract,
        sender="0x" + log.topics[1][26:],
        recipient="0x" + log.topics[2][26:],
        amount_micros=amount_micros,
        rest=rest,
    )


def token_event_of(log: Log, chain: Chain) -> TokenEvent | None:
    """Return the event of a token of ours that a log is, None when it is none."""
    kind = TOKEN_EVENTS.get(log.topics[0]) if log.topics else None
    if kind is None or chain.token(log.contract) is None:
        return None
    # Later versions of the token index the address, so it stands in a topic there.
    words = [*(topic[2:] for topic in log.topics[1:]), *re.findall(r"[0-9a-f]{64}", log.data[2:])]
    return TokenEvent(
        chain=chain.name,
        tx_hash=log.tx_hash,
        log_index=log.index,
        block_number=log.block_number,
        block_hash=log.block_hash,
        contract=log.contract,
        kind=kind,
        account="0x" + words[0][24:] if words and kind in _ABOUT_ACCOUNT else None,
        data="".join(words),
    )
