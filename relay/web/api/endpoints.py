"""Own how subscribers register where they want to be told, and look after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import ConfigDict, Field

from relay.bootstrap import now, office_of
from relay.core.filters import filters_of
from relay.core.own_headers import MOST
from relay.errors import NotFound
from relay.flows import endpoints as flow
from relay.store import deliveries
from relay.store import endpoints as store
from relay.store.engine import reading
from relay.web.api.common import (
    URL,
    Body,
    ById,
    GivenMoment,
    ListByIdQuery,
    Listed,
    Moment,
    Names,
    OptionalBody,
    Shape,
    Words,
    part,
    shown,
)
from relay.web.api.deliveries import DeliveryShape
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("endpoints", "Where subscribers want to be told. A key owns what it creates.")

TypeNames = Annotated[list[Words], Field(max_length=50)]


class Filters(Body):
    """What narrows the events further, null not at all; an event passes all of them.

    An order's event that lacks what a filter names does not pass it. Events
    that tell of no order's state (all but `recharge.…`) are held against
    `sources` alone, where they have one. Amounts are strings in USDT, and both ends belong;
    of `flags` any one is enough.
    """

    sources: Annotated[list[Words], Field(max_length=100)] | None = None
    appid: Words | None = None
    user_prefix: Words | None = None
    amount_min: Words | None = None
    amount_max: Words | None = None
    flags: Annotated[list[Words], Field(max_length=100)] | None = None


def _without_defaults(schema: dict[str, Any]) -> None:
    """What a change leaves out stays as it is; a client that is made from the document would send a default along."""
    for one in schema["properties"].values():
        one.pop("default", None)


class EndpointWishes(Body):
    """What may be changed. `event_types` null means every `recharge.…` type; `concurrency` is how many exchanges at once.

    `rate` is how many deliveries a second, null as many as come. Where it is
    `ordered`, an order's later event waits until the earlier ones are delivered or dead.
    `filters` are replaced as a whole, and so are `headers`: they go along with
    every delivery, are stored encrypted, and only their names are shown again.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    url: URL = ""
    description: Words = ""
    event_types: TypeNames | None = None
    filters: Filters = Filters()
    concurrency: int = Field(32, ge=1, le=256)
    rate: Annotated[int, Field(ge=1, le=1_000)] | None = None
    ordered: bool = False
    headers: Annotated[dict[str, str], Field(max_length=MOST)] | None = None


class NewEndpoint(EndpointWishes):
    """What an endpoint is made from; `kind`, `format` and `signing` stay as they are made.

    Of kind `per_order` the URL is a prefix: each order of its own `notify_url`
    below it is told there. Format `provider` sends the provider's own body,
    signed as the provider does, or with the endpoint's secret (`signing` own);
    `text` sends operational types as one sentence and a link, for chat tools.
    With `backfill_from`, what happened since is sent too, by a replay (`/v1/replays`).
    """

    model_config = ConfigDict(json_schema_extra=None)

    url: URL
    kind: Literal["fixed", "per_order"] = "fixed"
    format: Literal["standard", "provider", "text"] = "standard"
    signing: Literal["source", "own"] = "source"
    backfill_from: GivenMoment | None = None


class EnableWishes(OptionalBody):
    """`skip` gives up what waited instead of sending it."""

    skip: bool = False


class RotationWishes(OptionalBody):
    """For how many hours the present secrets sign beside the new one; 0 ends them at once, as for one that leaked."""

    overlap_hours: int = Field(flow.OVERLAP_H, ge=0, le=flow.LONGEST_OVERLAP_H)


class FiltersShape(Shape):
    """The filters of an endpoint; null narrows nothing."""

    sources: list[str] | None
    appid: str | None
    user_prefix: str | None
    amount_min: str | None
    amount_max: str | None
    flags: list[str] | None


class EndpointShape(Shape):
    """An endpoint. `not_before` is the rest that its own answers asked for.

    `failing_since` is the first of `failures_in_row`, after which nothing was
    accepted; from ten on it is tried with one delivery at a time.
    """

    id: str
    url: str
    description: str
    kind: str
    format: str
    signing: str
    event_types: Names
    filters: FiltersShape
    concurrency: int
    rate: int | None
    ordered: bool
    header_names: list[str]
    state: str
    state_reason: str | None
    not_before: Moment | None
    failing_since: Moment | None
    failures_in_row: int
    owner_key_id: str | None
    created_at: Moment


class NewEndpointShape(EndpointShape):
    """An endpoint with its secret, which is shown this once."""

    secret: str


class EnabledShape(Shape):
    """An endpoint that was enabled, how many deliveries waited for it, and since when the oldest did."""

    endpoint: EndpointShape
    waited: int
    oldest: Moment | None


class NewSecret(Shape):
    """A new secret, shown this once; the ones before it sign beside it until then."""

    secret: str
    previous_until: Moment


@routes.get("/endpoints", responses={200: Listed[EndpointShape]})
@role("service")
def list_endpoints(query: ListByIdQuery) -> dict[str, Any]:
    """List your endpoints, newest first."""
    with reading(runtime().engine) as connection:
        page = store.page(connection, owner=_owner(), after=query.after, limit=query.limit)
    return {"data": [_shown(row) for row in page.rows], "next": page.next}


@routes.post("/endpoints", responses={201: NewEndpointShape})
@role("service")
def create_endpoint(body: NewEndpoint) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Register an endpoint; the answer holds its secret, which is never shown again."""
    row, secret = flow.create(office_of(runtime()), _asked(body), actor=actor(), now=now())
    return _shown(row, NewEndpointShape, secret=secret), 201, {"Location": f"/v1/endpoints/{row['id']}"}


@routes.get("/endpoints/<id>", responses={200: EndpointShape})
@role("service")
def show_endpoint(path: ById) -> dict[str, Any]:
    """Show one endpoint."""
    with reading(runtime().engine) as connection:
        row = store.find(connection, path.id, owner=_owner())
    if row is None:
        raise NotFound("no such endpoint")
    return _shown(row)


@routes.patch("/endpoints/<id>", responses={200: EndpointShape})
@role("service")
def change_endpoint(path: ById, body: EndpointWishes) -> dict[str, Any]:
    """Change what is named in the body."""
    return _shown(flow.change(office_of(runtime()), path.id, _asked(body), actor=actor(), now=now()))


@routes.delete("/endpoints/<id>", responses={204: None})
@role("service")
def delete_endpoint(path: ById) -> Response:
    """Take an endpoint out of use for good; what waited for it is given up."""
    flow.delete(office_of(runtime()), path.id, actor=actor(), now=now())
    return Response(status=204)


@routes.post("/endpoints/<id>/disable", responses={200: EndpointShape})
@role("service")
def disable_endpoint(path: ById) -> dict[str, Any]:
    """Send nothing more; what happens meanwhile waits."""
    return _shown(flow.stop(office_of(runtime()), path.id, "disabled", actor=actor(), now=now()))


@routes.post("/endpoints/<id>/pause", responses={200: EndpointShape})
@role("service")
def pause_endpoint(path: ById) -> dict[str, Any]:
    """Send nothing for a while; what happens meanwhile waits."""
    return _shown(flow.stop(office_of(runtime()), path.id, "paused", actor=actor(), now=now()))


@routes.post("/endpoints/<id>/enable", responses={200: EnabledShape})
@role("service")
def enable_endpoint(path: ById, body: EnableWishes) -> dict[str, Any]:
    """Send what waited, oldest first, and everything from now on."""
    enabled = flow.enable(office_of(runtime()), path.id, skip=body.skip, actor=actor(), now=now())
    runtime().memory.ring()
    found = {"endpoint": _as_told(enabled.endpoint), "waited": enabled.waited, "oldest": enabled.oldest}
    return shown(EnabledShape, found)


@routes.post("/endpoints/<id>/rotate-secret", responses={200: NewSecret})
@role("service")
def rotate_secret(path: ById, body: RotationWishes) -> dict[str, Any]:
    """Make a new secret; for a while, 24 hours unless you say another, deliveries are signed with the old ones too."""
    office, hours = office_of(runtime()), body.overlap_hours
    secret, until = flow.rotate_secret(office, path.id, overlap_h=hours, actor=actor(), now=now())
    return shown(NewSecret, {"secret": secret, "previous_until": until})


@routes.post("/endpoints/<id>/test", responses={202: DeliveryShape})
@role("service")
def test_endpoint(path: ById) -> tuple[dict[str, Any], int]:
    """Send a `relay.test` event to this endpoint alone; the answer is its delivery."""
    delivery = flow.test(office_of(runtime()), path.id, actor=actor(), now=now())
    runtime().memory.ring()
    with reading(runtime().engine) as connection:
        row = deliveries.find(connection, delivery)
    return shown(DeliveryShape, row or {}), 202


def _asked(body: EndpointWishes) -> dict[str, Any]:
    # A null that was sent is a wish, such as no rate; what was not sent stays as it is.
    return body.model_dump(exclude_unset=True)


def _owner() -> str | None:
    return None if actor().sees_all else actor().id


def _shown(row: Mapping[Any, Any], model: type[EndpointShape] = EndpointShape, **more: Any) -> dict[str, Any]:
    return shown(model, _as_told(row), **more)


def _as_told(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**row, "filters": filters_of(row), "header_names": flow.header_names(row)}
