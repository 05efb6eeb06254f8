"""Own the reading of chains.toml: from its text to checked Chains with their nodes, every fault under its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from relay.core.chain_addresses import family_of, parse_address
from relay.core.chains import Chain, NodeURL, Token
from relay.core.sections import Section

SOLIDITY = "CHAIN_TRON_SOLIDITY_URLS"
FINALITIES = ("finalized", "safe", "solidified", "confirmations")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_HEADER = re.compile(r"([A-Za-z0-9-]+)=([\x21-\x7e][\x20-\x7e]*)", re.ASCII)
_YEAR_S = 366 * 86_400


def parse_chains(text: str, variable: Callable[[str], str], faults: list[str]) -> dict[str, Chain]:
    """Return the chains of a TOML text by name, adding what is wrong to `faults`; with a fault there are none.

    The nodes of a chain come from the variable CHAIN_<NAME>_RPC_URLS:
    comma-separated URLs, each with `#Header=value` behind it where the node wants one.
    TRON's solidity services stand in CHAIN_TRON_SOLIDITY_URLS.
    """
    before = len(faults)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"RELAY_CHAINS: is not TOML: {error}")
        return {}
    root = Section(document, "RELAY_CHAINS", faults)
    tables = root.value("chains")
    root.close()
    if not isinstance(tables, Mapping):
        faults.append("RELAY_CHAINS: names no chain; write a section such as [chains.tron]")
        return {}
    every = Section(tables, "chains", faults)
    found = {name: _chain(name, every.section(name), variable) for name in every}
    _judge_identities(found, every)
    return {} if len(faults) > before else found


def _chain(name: str, section: Section, variable: Callable[[str], str]) -> Chain:
    if not _NAME.fullmatch(name):
        section.faults.append(f"{section.path}: a name is lower-case letters, digits and _ behind a letter, at most 32")
    finality = section.choice("finality", FINALITIES)
    # A transfer that is final in the block it stands in could be taken back by a reorg that nobody announces.
    confirmations = section.whole("confirmations", 0, most=100_000)
    if (finality == "confirmations") != bool(confirmations):
        section.fault("confirmations", 'must be 1 or more with finality = "confirmations", and absent without')
    chain = Chain(
        name=name,
        chain_id=section.whole("chain_id", 0, least=1, most=2**53),
        tokens=_tokens(section, name),
        finality=finality,
        block_ms=section.whole("block_ms", 0, least=1, most=3_600_000),
        confirmations=confirmations,
        window=section.whole("window", 256, least=1, most=100_000),
        span=section.whole("span", 2_000, least=1, most=1_000_000),
        topics=section.whole("topics", 1_000, least=1, most=10_000),
        # As many logs as this are taken for an answer that was cut; with 1 every log would be one.
        results=section.whole("results", 10_000, least=2, most=1_000_000),
        filter_above=section.whole("filter_above", 5_000, most=1_000_000),
        rate=section.whole("rate", 5, least=1, most=1_000),
        grace_s=section.whole("grace_s", 900, most=_YEAR_S),
        measure_s=section.whole("measure_s", 3_600, most=_YEAR_S),
        multicall=_address(section, "multicall", name) if "multicall" in section else None,
        explorer_tx=_explorer(section, "explorer_tx"),
        explorer_address=_explorer(section, "explorer_address"),
        nodes=tuple(_nodes(f"CHAIN_{name.upper()}_RPC_URLS", variable, section.faults)),
        solidity=tuple(_nodes(SOLIDITY, variable, section.faults)) if family_of(name) == "tron" else (),
    )
    section.close()
    if chain.confirmations > chain.window:
        section.fault("window", "must be at least as many blocks as confirmations")
    return chain


def _tokens(section: Section, chain: str) -> tuple[Token, ...]:
    listed = section.value("tokens")
    if not isinstance(listed, list) or not listed:
        section.fault("tokens", "must list at least one token")
        return ()
    found = []
    for at, table in enumerate(listed):
        one = Section(table if isinstance(table, Mapping) else {}, f"{section.path}.tokens[{at}]", section.faults)
        found.append(
            Token(contract=_address(one, "contract", chain), decimals=one.whole("decimals", -1, least=0, most=36))
        )
        one.close()
    if len({token.contract for token in found}) < len(found):
        section.fault("tokens", "lists a contract twice")
    return tuple(found)


def _address(section: Section, key: str, chain: str) -> str:
    text = section.text(key)
    try:
        return parse_address(text, family_of(chain)) if text else ""
    except ValueError as error:
        section.fault(key, str(error))
        return ""


def _explorer(section: Section, key: str) -> str:
    text = section.text(key, "")
    if text and (text.count("{}") != 1 or not _is_web(text)):
        section.fault(key, "must be an http or https URL with {} where the transaction or the address stands")
    return text


def _nodes(name: str, variable: Callable[[str], str], faults: list[str]) -> Iterator[NodeURL]:
    for at, given in enumerate(filter(None, map(str.strip, variable(name).split(","))), start=1):
        # A fragment is never sent, so what stands behind the # is free to say how the node is opened.
        url, _, rest = given.partition("#")
        headers = [_HEADER.fullmatch(part) for part in rest.split("#")] if rest else []
        # The text is not repeated in a fault: paths and headers of nodes are keys.
        if not _is_web(url):
            faults.append(f"{name}: entry {at} must be an http or https URL")
        elif None in headers:
            faults.append(f"{name}: entry {at} must have Header=value behind its #")
        else:
            host = urlsplit(url).hostname or ""
            yield NodeURL(
                name=f"{at}:{host}", url=url, headers={found[1]: found[2] for found in headers if found is not None}
            )


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _judge_identities(chains: Mapping[str, Chain], section: Section) -> None:
    names: dict[int, str] = {}
    for chain in chains.values():
        if chain.chain_id and names.setdefault(chain.chain_id, chain.name) != chain.name:
            section.fault(chain.name, f"has the chain id of {names[chain.chain_id]}")
