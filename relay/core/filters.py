"""Own what narrows an endpoint's events: the filters that a subscriber may name, checked, and as they are stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from relay.core.amounts import format_micros, parse_usdt
from relay.core.orders import FLAGS
from relay.errors import Unprocessable

FILTERS = ("sources", "appid", "user_prefix", "amount_min", "amount_max", "flags")


def filter_columns(filters: Mapping[str, Any], sources: Collection[str]) -> dict[str, Any]:
    """Return the columns of an endpoint for its filters; what is not named, or null, narrows nothing.

    `sources` are those that may be named. Amounts are texts in USDT. Raises
    Unprocessable, with the pointer, for what no event could ever fit.
    """
    least, most = (_micros(filters.get(name), name) for name in ("amount_min", "amount_max"))
    if least is not None and most is not None and most < least:
        raise Unprocessable("is below amount_min", pointer="/filters/amount_max")
    return {
        "sources": listed(_known(filters.get("sources"), sources, "sources", "no such source")),
        "appid": _text(filters.get("appid"), "appid"),
        "user_prefix": _text(filters.get("user_prefix"), "user_prefix"),
        "amount_min_micros": least,
        "amount_max_micros": most,
        "any_flags": listed(_known(filters.get("flags"), FLAGS, "flags", f"must be one of {', '.join(FLAGS)}")),
    }


def filters_of(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the filters of a stored endpoint as a subscriber spells them, null for what narrows nothing."""
    return {
        "sources": _names(row["sources"]),
        "appid": row["appid"],
        "user_prefix": row["user_prefix"],
        "amount_min": _usdt(row["amount_min_micros"]),
        "amount_max": _usdt(row["amount_max_micros"]),
        "flags": _names(row["any_flags"]),
    }


def listed(names: Sequence[str] | None) -> str | None:
    """Lists are stored with a comma before and behind each name, so that a name is found by a plain search."""
    return f",{','.join(dict.fromkeys(names))}," if names else None


def _known(names: Sequence[str] | None, known: Collection[str], field: str, fault: str) -> Sequence[str] | None:
    for place, name in enumerate(names or ()):
        if name not in known:
            raise Unprocessable(fault, pointer=f"/filters/{field}/{place}")
    return names


def _text(given: str | None, field: str) -> str | None:
    if given is not None and not (given and given.isprintable()):
        raise Unprocessable("must be printable, and not empty", pointer=f"/filters/{field}")
    return given


def _micros(given: str | None, field: str) -> int | None:
    try:
        return None if given is None else parse_usdt(given)
    except ValueError as error:
        raise Unprocessable(str(error), pointer=f"/filters/{field}") from error


def _names(stored: str | None) -> list[str] | None:
    return None if stored is None else stored.strip(",").split(",")


def _usdt(micros: int | None) -> str | None:
    return None if micros is None else format_micros(micros)
