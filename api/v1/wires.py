"""The four operations of seed 002. They are read and written by that wire's Dialect, byte for byte as the seed has
them; what stands here is their place and their description.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from .. import compat
from .caller import ANY
from .errors import answers
from .seed import SeedAccount, SeedMessage, SeedRegistered, SeedSent, SeedStatus, SeedWebhook

WIRE = "smsprovider"
OPERATIONS = frozenset(
    {("POST", "/messages"), ("GET", "/messages/{message_id}"), ("GET", "/account"), ("POST", "/webhooks")}
)
"""They find their key themselves, so the door lets them pass."""

router = Router(by_alias=True, tags=["As in the seed"])
BEARER = {"security": [{type(ANY).__name__: []}]}


def _takes(body: type[Schema]) -> dict[str, Any]:
    """The description of a body that is not read here."""
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**BEARER, "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "/messages",
    response=answers(SeedSent),
    openapi_extra=_takes(SeedMessage),
    tags=["Messages"],
    summary="Send messages",
)
def send(request: HttpRequest) -> HttpResponse:
    """To one number or to an array of them. Needs the scope `send`."""
    return compat.answer(WIRE, request, "/messages")


@router.get(
    "/messages/{message_id}",
    response=answers(SeedStatus),
    openapi_extra=BEARER,
    tags=["Messages"],
    summary="Get a message",
)
def status(request: HttpRequest, message_id: str) -> HttpResponse:
    """What became of it, in the words of the seed; `/details` tells all. Needs the scope `read`."""
    return compat.answer(WIRE, request, f"/messages/{message_id}")


@router.get(
    "/account", response=answers(SeedAccount), openapi_extra=BEARER, tags=["Accounts"], summary="Get the credits"
)
def account(request: HttpRequest) -> HttpResponse:
    """Of this key, where it has a budget, else of the account that it sends through."""
    return compat.answer(WIRE, request, "/account")


@router.post(
    "/webhooks",
    response=answers(SeedRegistered, 201),
    openapi_extra=_takes(SeedWebhook),
    tags=["Webhooks"],
    summary="Register a webhook",
)
def register(request: HttpRequest) -> HttpResponse:
    """For the events that this key may see; no events are all. The secret signs the deliveries."""
    return compat.answer(WIRE, request, "/webhooks")
