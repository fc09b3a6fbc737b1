"""Webhooks of a key: changed, tried, looked at, and what was posted to them."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from providers import wire

from .. import access, webhooks
from ..models import Delivery, Scope, Webhook
from . import reading
from .caller import READ
from .door import Call
from .errors import Conflict, answers
from .schemas import Body, Done, Id, Next, Paging, Time, page

router = Router(by_alias=True, auth=READ, tags=["Webhooks"])

Format = Literal["smsgateway", "smsprovider", "standard"]


class WebhookOut(Schema):
    webhook_id: Id
    url: str
    format: Format
    events: list[str]
    for_requests: bool = Field(
        description="WebhookMade of the `callback_url` of requests; told of their messages alone."
    )
    enabled: bool
    paused: bool
    paused_reason: str
    failures: int = Field(description="Deliveries that failed in a row.")
    created_at: Time


class WebhookPage(Schema):
    webhooks: list[WebhookOut]
    next: Next


class WebhookIn(Body):
    url: str = Field(max_length=webhooks.LONGEST_URL, examples=["https://your-server.com/sms-webhook"])
    events: list[str] = Field([], max_length=50, description="Empty: all.", examples=[["message.delivered"]])


class WebhookMade(WebhookOut, Done):
    secret: str = Field(description="What its deliveries are signed with. It is not shown again.")


class Tried(Schema):
    at: Time
    status: int | None = Field(description="The HTTP status of the answer; null: there was none.")
    answer: str
    error: str
    milliseconds: int


class DeliveryOut(Schema):
    delivery_id: Id
    event: str
    subject: str
    state: Literal["waiting", "done", "failed"]
    attempts: int
    replay_of: Id | None
    created_at: Time
    done_at: Time | None


class DeliveryDetail(DeliveryOut):
    body: str = Field(description="As it is posted.")
    tries: list[Tried]


class DeliveryPage(Schema):
    deliveries: list[DeliveryOut]
    next: Next


class DeliveriesAsked(Paging):
    state: Literal["waiting", "done", "failed"] | None = None


class Replayed(Schema):
    success: bool = True
    deliveries: int


@router.get("/webhooks", response=answers(WebhookPage), summary="List the webhooks of this key")
def listed(request: Call, asked: Query[Paging]) -> Any:
    rows, edge = reading.cut(Webhook.objects.filter(key=request.key.pk), asked)
    return page("webhooks", [_written(row) for row in rows], edge)


def look_up(request: Call) -> None:
    """Whether the host of a webhook that is to be registered may be called. Raises InvalidRequest."""
    access.need(request.key, Scope.READ)
    with contextlib.suppress(ValueError, AttributeError):  # told by whoever reads it all
        url = wire.load_json(request.body).get("url")
        if isinstance(url, str):
            webhooks.check(url)


@router.post("/webhooks/as/{format}", response=answers(WebhookMade, 201), summary="Register a webhook in a format")
def register(request: Call, format: Format, asked: WebhookIn) -> Any:
    """`standard`: Standard Webhooks. `smsgateway`: a form field, signed with the API key itself."""
    row = webhooks.register(request.key, asked.url, asked.events, format)
    return Status(201, {**_written(row), "secret": row.sealed.get("secret", "")})


@router.get("/webhooks/{webhook_id}", response=answers(WebhookOut), summary="Get a webhook")
def get(request: Call, webhook_id: str) -> Any:
    return _written(_webhook(request, webhook_id))


@router.delete("/webhooks/{webhook_id}", response=answers(Done), summary="Delete a webhook")
def delete(request: Call, webhook_id: str) -> Any:
    """What was not delivered is not delivered any more."""
    webhooks.delete(_webhook(request, webhook_id))
    return {}


@router.post("/webhooks/{webhook_id}/rotate", response=answers(WebhookMade), summary="Give a webhook a new secret")
def rotate(request: Call, webhook_id: str) -> Any:
    """The one before is no good any more."""
    row = _webhook(request, webhook_id)
    return {"secret": webhooks.rotate(row), **_written(row)}


@router.post("/webhooks/{webhook_id}/test", response=answers(DeliveryOut, 202), summary="Post a test event")
def test(request: Call, webhook_id: str) -> Any:
    """In the background."""
    return Status(202, _delivery(webhooks.test(_webhook(request, webhook_id))))


@router.post("/webhooks/{webhook_id}/{action}", response=answers(WebhookOut), summary="Pause or resume a webhook")
def switch(request: Call, webhook_id: str, action: Literal["pause", "resume"]) -> Any:
    """While it is paused nothing is delivered, and what happens is kept."""
    row = _webhook(request, webhook_id)
    if action == "pause":
        webhooks.pause(row, f"Paused by the API key “{request.key.name}”.")
    else:
        webhooks.resume(row)
    return _written(_webhook(request, webhook_id))


@router.get("/webhooks/{webhook_id}/deliveries", response=answers(DeliveryPage), summary="List what was posted")
def deliveries(request: Call, webhook_id: str, asked: Query[DeliveriesAsked]) -> Any:
    rows = _webhook(request, webhook_id).deliveries.all()
    rows, edge = reading.cut(rows.filter(state=asked.state) if asked.state else rows, asked)
    return page("deliveries", [_delivery(row) for row in rows], edge)


@router.get(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}", response=answers(DeliveryDetail), summary="Get a delivery"
)
def delivery(request: Call, webhook_id: str, delivery_id: str) -> Any:
    row = _posted(request, webhook_id, delivery_id)
    tries = [
        {
            "at": one.at,
            "status": one.status,
            "answer": one.answer,
            "error": one.error,
            "milliseconds": one.milliseconds,
        }
        for one in row.tries.order_by("pk")[:100]
    ]
    return {**_delivery(row), "body": row.body, "tries": tries}


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    response=answers(Replayed, 202),
    summary="Post a delivery once more",
)
def replay(request: Call, webhook_id: str, delivery_id: str) -> Any:
    """In the background, with the id that it had."""
    row = _posted(request, webhook_id, delivery_id)
    if row.state == Delivery.State.WAITING:
        raise Conflict("It is on its way still.")
    return Status(202, {"deliveries": webhooks.replay([row])})


def _webhook(request: Call, text: str) -> Webhook:
    return reading.one(Webhook.objects.filter(key=request.key.pk), text, "webhook")


def _posted(request: Call, webhook_id: str, text: str) -> Delivery:
    return reading.one(_webhook(request, webhook_id).deliveries, text, "delivery")


def _written(row: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": row.pk,
        "url": row.url,
        "format": row.format,
        "events": row.events,
        "for_requests": row.for_campaigns,
        "enabled": row.enabled,
        "paused": bool(row.paused_reason),
        "paused_reason": row.paused_reason,
        "failures": row.failures,
        "created_at": row.created_at,
    }


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": row.pk,
        "event": row.event,
        "subject": row.subject,
        "state": row.state,
        "attempts": row.attempts,
        "replay_of": row.replay_of_id,
        "created_at": row.created_at,
        "done_at": row.done_at,
    }
