"""Own what is wrong with a token as a whole: paused, replaced, or one of our addresses on its black list.

Source: TetherToken's verified contract on Ethereum: a blacklisted address still receives, and can never send.
"""

from __future__ import annotations

from collections.abc import Iterable

from relay.core.chain_addresses import family_of, show_address
from relay.core.logs import TokenEvent

_TURNS = {
    "Pause": ("pause", True),
    "Unpause": ("pause", False),
    "Deprecate": ("deprecate", True),
    "AddedBlackList": ("black list", True),
    "RemovedBlackList": ("black list", False),
}
TURNING = frozenset(_TURNS)
# Whose account is the one that is listed; of the others it is another contract.
LISTING = frozenset({"AddedBlackList", "RemovedBlackList"})


def ailments(events: Iterable[TokenEvent]) -> list[str]:
    """Return what is the matter now, a sentence each, given the events of tokens in the order they happened.

    Events of black lists are those about our addresses alone.
    """
    standing: dict[tuple[str, str, str, str | None], TokenEvent] = {}
    for one in events:
        if one.kind not in _TURNS:
            continue
        what, is_on = _TURNS[one.kind]
        key = (one.chain, one.contract, what, one.account if one.kind in LISTING else None)
        if is_on:
            standing[key] = one
        else:
            standing.pop(key, None)
    return [_sentence(one) for one in standing.values()]


def _sentence(event: TokenEvent) -> str:
    family = family_of(event.chain)
    token = f"the token {show_address(event.contract, family)} on {event.chain}"
    if event.kind == "Pause":
        return f"{token} is paused since block {event.block_number}: nobody can pay or collect"
    if event.kind == "Deprecate":
        return f"{token} was replaced by another contract in block {event.block_number}"
    account = show_address(event.account or "", family)
    return (
        f"{account} is on the black list of {token} since block {event.block_number}: what comes in there cannot leave"
    )
