"""Own what the parts of the API share: how a list is asked for and answered, and how values are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from flask import Response, jsonify, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from relay.core.addresses import URL_CAP
from relay.core.amounts import format_micros
from relay.core.chain_addresses import family_of, parse_address, show_address
from relay.core.events import rfc3339
from relay.store.paging import Cursor
from relay.web.problems import MEDIA_TYPE

# The largest BIGINT; beyond it a database would object.
LARGEST = 2**63 - 1
_DIGITS = re.compile(r"-?[0-9]+")
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def part(name: str, description: str) -> APIBlueprint:
    """Return one part of the API under /v1; each of its operations names the key and the shape of its errors."""
    problem = {"content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    return APIBlueprint(
        f"api_{name}",
        __name__,
        url_prefix="/v1",
        abp_tags=[Tag(name=name, description=description)],
        abp_security=[{"key": []}],
        abp_responses={status: dict(problem) for status in (401, 403, 422)},
    )


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None
    errors: list[dict[str, str]] = []


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _whole(given: Any) -> Any:
    # Pydantic reads 1_000, " 7" and 7.0 as numbers too.
    if isinstance(given, str) and not _DIGITS.fullmatch(given):
        raise ValueError("must be a whole number")
    return given


def _switch(given: str) -> bool:
    if given not in _SWITCHES:
        raise ValueError("must be true or false")
    return _SWITCHES[given]


def _written_moment(given: Any) -> datetime:
    # Pydantic reads numbers as times too, in seconds or in thousandths as it thinks fit.
    if not isinstance(given, str) or not _MOMENT.fullmatch(given):
        raise ValueError("must be a time such as 2026-11-23T12:00:00Z")
    return datetime.fromisoformat(given)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999") from None


def _machine(text: str) -> str:
    # The reader of TRON's addresses takes those of the other chains as well.
    return parse_address(text, "tron")


def _readable(machine: str | None, info: ValidationInfo) -> str | None:
    return None if machine is None else show_address(machine, family_of(info.data["chain"] or ""))


Words = Annotated[str, Field(max_length=500), AfterValidator(_storable)]
URL = Annotated[str, Field(max_length=URL_CAP), AfterValidator(_storable)]
GivenMoment = Annotated[AwareDatetime, BeforeValidator(_written_moment), AfterValidator(_in_utc)]
# How a query, where all is text, spells a number and a yes.
Whole = Annotated[int, BeforeValidator(_whole)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Number = Annotated[Whole, Field(ge=0, le=LARGEST)]
# An address in any spelling becomes the machine's; a stored one is shown as its chain, told before it, spells it.
GivenAddress = Annotated[str, AfterValidator(_machine)]
ChainAddress = Annotated[str, BeforeValidator(_readable)]
OptionalChainAddress = Annotated[str | None, BeforeValidator(_readable)]

Moment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
# Stored as words between spaces, or as names between commas.
Flags = Annotated[list[str], BeforeValidator(str.split)]
Names = Annotated[list[str] | None, BeforeValidator(lambda stored: stored and stored.strip(",").split(","))]


class Input(BaseModel):
    """What a caller sends: a name we do not know is an error, not a wish ignored."""

    model_config = ConfigDict(extra="forbid")


class Body(Input):
    """What a caller sends as JSON, which has types: "1" is no number, and 1 is no yes."""

    model_config = ConfigDict(strict=True)


class OptionalBody(Body):
    """A body that may be left out."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_no_wish(cls, given: Any) -> Any:
        # None also stands for a body that could not be read: that one is an error.
        return {} if given is None and not request.get_data() else given


class ByNumber(BaseModel):
    """A path that ends in a row's number."""

    id: Number


class ById(BaseModel):
    """A path that names a thing by its id."""

    id: Words


class ListQuery(Input):
    """How a list is read. `after` is the `next` of the page before."""

    limit: Whole = Field(50, ge=1, le=250)
    after: Number | None = None


class ListByIdQuery(Input):
    """How a list of things with ids is read. `after` is the `next` of the page before."""

    limit: Whole = Field(50, ge=1, le=250)
    # What is no id of ours is no `next` either: it would be answered with an empty page, as if the list were over.
    after: Words | None = Field(None, pattern=r"^[a-z]{2,3}_[0-9a-z]+$")


Item = TypeVar("Item", bound=BaseModel)


class Listed(BaseModel, Generic[Item]):
    """A page of a list; `next` goes into `after`, null when this was the last."""

    data: list[Item]
    next: int | str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Name the page of a shape as people say it: `EventList`."""
        return f"{params[0].__name__.removesuffix('Shape')}List"


class Shape(BaseModel):
    """How a row is shown."""


def usdt(micros: int | None) -> str | None:
    """Spell an amount with its six places."""
    return None if micros is None else format_micros(micros)


def shown(model: type[Shape], row: Mapping[Any, Any], **more: Any) -> dict[str, Any]:
    """Return the JSON of a row."""
    return model.model_validate({**row, **more}).model_dump(mode="json")


def listed(model: type[Shape], rows: Iterable[Mapping[Any, Any]], following: Cursor | None) -> dict[str, Any]:
    """Return the JSON of a page."""
    return {"data": [shown(model, row) for row in rows], "next": following}


def tagged(body: Mapping[str, Any]) -> Response:
    """Answer with a thing and its ETag; 304 to a caller who has it as it is."""
    response = jsonify(body)
    # It may be kept, to be asked about again; by no cache that others share, since another key may not see it.
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
