"""Own the hint which preset a refused request looks like: by a signature that holds, else by the names of its fields.

Cheap enough for a list; `relay.core.probing` tries everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.core.adapters import Adapter
from relay.core.parsing import RawRequest
from relay.core.probing import held_by, readings_of
from relay.core.signatures import Secret

# Less than this in common is no likeness.
LEAST = 0.5


@dataclass(frozen=True, slots=True)
class Likeness:
    """The preset that a request is most like.

    `source` is whose secret made the signature, "" where none of ours did;
    `reason` says why its fields do not fit all the same. `lacking` and
    `strange` are the names of fields that the preset needs, and that it does not know.
    """

    preset: str
    source: str = ""
    reason: str = ""
    lacking: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


def likeness(
    request: RawRequest,
    secrets: Mapping[str, Sequence[Secret]],
    presets: Mapping[str, Adapter],
    *,
    now: datetime,
    url: str = "",
) -> Likeness | None:
    """Return what a request is most like, None for nothing that we know; `secrets` are those of each source to try."""
    signed = [
        Likeness(held.name, source, held.reason)
        for source, keys in secrets.items()
        for key in keys
        for adapter in presets.values()
        if (held := held_by(adapter, request, key.value, now, url)) is not None
    ]
    # One whose fields fit as well says more than one of the same signature.
    return min(signed, key=lambda one: bool(one.reason), default=None) or _by_names(request, presets)


def _by_names(request: RawRequest, presets: Mapping[str, Adapter]) -> Likeness | None:
    names = set(readings_of(request).get("raw", {}))
    nearest = max(presets.values(), key=lambda adapter: _in_common(names, adapter), default=None)
    if nearest is None or _in_common(names, nearest) < LEAST:
        return None
    known = _known(nearest)
    needed = known - nearest.optional
    return Likeness(nearest.name, lacking=tuple(sorted(needed - names)), strange=tuple(sorted(names - known)))


def _in_common(names: set[str], adapter: Adapter) -> float:
    known = _known(adapter)
    needed = known - adapter.optional
    return len(names & known) / len(names | needed) if names else 0.0


def _known(adapter: Adapter) -> set[str]:
    signature = {adapter.scheme.name} if adapter.scheme.location == "body" else set()
    return {*adapter.patterns} | signature
