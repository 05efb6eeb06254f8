"""Own the rule that an order's identity never moves unseen: whose configuration would tear it from its history."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from relay.core.sources import Source


def moved(
    sources: Mapping[str, Source], recorded: Mapping[str, str], histories: Collection[tuple[str, str]]
) -> list[str]:
    """Return a fault for each source that would lose its orders; none when all may start.

    `recorded` maps the names of earlier starts to their namespaces, and
    `histories` holds (source, appid) of the orders of those that are
    configured no longer. Under another namespace an old order's late callback
    would be credited a second time.
    """
    return [fault for source in sources.values() for fault in _faults(source, recorded, histories)]


def _faults(source: Source, recorded: Mapping[str, str], histories: Collection[tuple[str, str]]) -> Iterator[str]:
    now = f'sources.{source.name}.namespace: is "{source.namespace}"'
    before = recorded.get(source.name)
    if before is not None:
        if before != source.namespace:
            yield f"{now}, {_ways_on(source.name, source.name, before)}"
        return
    for former in sorted({name for name, appid in histories if source.appid and appid == source.appid}):
        if recorded[former] != source.namespace:
            way_on = _ways_on(former, source.name, recorded[former])
            yield f'{now}, but its appid was that of the source "{former}", {way_on}'


def left_behind(sources: Mapping[str, Source], recorded: Mapping[str, str], former: str, namespace: str) -> list[str]:
    """Return the configured sources that share the namespace of `former` and are not to go to `namespace` with it."""
    sharers = {name for name, where in recorded.items() if where == recorded[former]} - {former}
    return sorted(name for name in sharers & sources.keys() if sources[name].namespace != namespace)


def _ways_on(former: str, name: str, namespace: str) -> str:
    return (
        f'whose orders are recorded under "{namespace}"; to keep them together set namespace = "{namespace}", '
        f"or stop all processes and run: python -m relay sources move {former} {name}"
    )
