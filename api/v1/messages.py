"""Messages: the log, one of them with all that is known, and what can be done with those that wait or are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from messaging import bulk, parking, waiting
from messaging.log import Filters, read_id
from messaging.models import STATUSES, Message
from providers.models import ProviderAccount
from providers.types import Status

from .. import access, gateway, gateway_phones
from . import reading
from .caller import READ, SEND, Caller
from .door import Call
from .errors import answers
from .schemas import MOST_IDS, Body, Id, Next, Number, Paging, Time, page

router = Router(by_alias=True, tags=["Messages"], auth=READ)

StatusWord = Literal[tuple(status for status, _label in STATUSES)]  # type: ignore[valid-type]


class Problem(Schema):
    code: str
    message: str


class MessageOut(Schema):
    """The first seven as in `GET /v1/messages/{message_id}`, but for `status`, which is smsdash's own word."""

    message_id: Id
    to: str = Field(description="The number it goes to; of a received one our own, where the provider tells.")
    from_: str = Field(alias="from", description="The sender ID; of a received one the number that wrote.")
    message: str
    status: StatusWord
    sent_at: Time | None
    delivered_at: Time | None
    direction: Literal["out", "in"]
    type: str = Field(description="sms or mms")
    attachments: list[str]
    account_id: Id
    campaign_id: Id | None
    device_id: Id | None
    sim: int | None = Field(description="The slot, counted from 0.")
    parts: int
    cost: Number | None
    error: Problem | None
    provider_message_id: str
    created_at: Time
    due_at: Time | None = Field(description="When it may leave; null: it has left, or its campaign is held.")
    expires_at: Time | None
    resend_of: Id | None


class Waits(Schema):
    """Why it has not left, or what it waits for since."""

    reason: str
    attention: bool = Field(description="It goes on only if a person does something.")
    expected_at: Time | None
    place: int | None = Field(description="Its place in the queue of its account, counted from 1.")


class Try(Schema):
    at: Time
    account_id: Id
    error: Problem
    maybe_taken: bool = Field(description="Nobody could tell whether the provider took it.")


class Reported(Schema):
    at: Time
    status: str
    provider_status: str
    error: Problem | None


class MessageDetail(MessageOut):
    waits: Waits | None
    attempts: int = Field(description="How often it was handed over.")
    tries: list[Try] = Field(description="The hand-overs that settled nothing, the newest 20.")
    reports: list[Reported] = Field(description="The newest 20 reports of the provider.")
    resent_as: list[Id]


class MessagePage(Schema):
    messages: list[MessageOut]
    next: Next


class Wanted(Schema):
    status: StatusWord | None = None
    direction: Literal["in", "out"] | None = None
    account_id: str | None = Field(None, max_length=20)
    campaign_id: str | None = Field(None, max_length=20)
    number: str = Field("", max_length=40, description="The beginning of a number, in any spelling.")
    text: str = Field("", max_length=200, description="A part of the text.")
    device_id: str | None = Field(None, max_length=20)
    sim: int | None = Field(None, ge=0, le=32_767)
    since: Time | None = Field(None, description="Created then or later.")
    until: Time | None = Field(None, description="Created before then.")


class Log(Paging, Wanted):
    pass


class Act(Body):
    action: Literal["cancel", "reschedule", "resend", "count_as_sent", "send_again"]
    message_ids: list[Id] = Field(min_length=1, max_length=MOST_IDS)
    scheduled_at: Time | None = Field(None, description="For `reschedule`; null: as soon as possible.")
    account_id: Id | None = Field(None, description="For `resend`: through this account.")
    again: bool = Field(False, description="For `resend`: also those that were resent before.")


class LeftOut(Schema):
    reason: str
    messages: int


class Acted(Schema):
    success: bool = True
    messages: int = Field(description="With how many it was done.")
    left_out: list[LeftOut]


SHOWN = 20
ACTIONS: Mapping[str, str] = {"count_as_sent": "sent", "send_again": "again"}  # by their names in bulk.py


@router.get("/messages", response=answers(MessagePage), summary="List messages")
def listed(request: Call, asked: Query[Log]) -> Any:
    """Newest first: what this key sent and what its accounts received, or everything of its accounts.

    Texts, devices and rare statuses are looked for in some 20,000 messages at a time, so a page may be short or empty
    and not the last: go on until `next` is null.
    """
    before, filters = reading.before(asked), filters_of(request, asked)
    rows, edge = reading.messages(request.key, replace(filters, before=before), asked.limit) if filters else ([], None)
    return page("messages", written(rows), edge)


def filters_of(request: Call, asked: Wanted) -> Filters | None:
    """None: there can be none of these."""
    device = gateway_phones.find(request.key, asked.device_id) if asked.device_id else None
    account = read_id(asked.account_id or "")
    wrong = (
        (asked.device_id and device is None)
        or (asked.account_id and account is None)
        or (asked.campaign_id and read_id(asked.campaign_id) is None)
        or (device and account not in (None, device.account_id))
    )
    return (
        None
        if wrong
        else Filters(
            status=asked.status or "",
            account=device.account_id if device else account,
            campaign=read_id(asked.campaign_id or ""),
            direction=asked.direction or "",
            device=device.device_id if device else "",
            sim=asked.sim,
            number=asked.number,
            text=asked.text,
            start=asked.since,
            end=asked.until,
        )
    )


@router.get("/messages/{message_id}/details", response=answers(MessageDetail), summary="Tell everything of a message")
def details(request: Call, message_id: str) -> Any:
    """Beside what the list tells: why it waits and until when, how often it was tried, and what was reported."""
    found = reading.message(request.key, message_id)
    full = Message.objects.select_related("account__pace", "campaign", "route")
    found = full.defer("account__credentials", "campaign__recipients").get(pk=found.pk)
    why = waiting.why(found)
    tries = found.earlier.order_by("-pk")[:SHOWN]
    reports = found.reports.order_by("-pk")[:SHOWN]
    return {
        **written([found])[0],
        "waits": why
        and {"reason": why.text, "attention": why.attention, "expected_at": why.expected, "place": why.place},
        "attempts": found.attempts,
        "tries": [
            {
                "at": row.at,
                "account_id": row.account_id,
                "error": _problem(row.error_code, row.error_text) or {"code": "", "message": ""},
                "maybe_taken": row.maybe_taken,
            }
            for row in tries
        ],
        "reports": [
            {
                "at": row.at or row.seen_at,
                "status": row.status,
                "provider_status": row.raw_status,
                "error": _problem(row.error_code, row.error_text),
            }
            for row in reports
        ],
        "resent_as": list(found.resends.order_by("pk").values_list("pk", flat=True)[:SHOWN]),
    }


@router.post("/messages/actions", response=answers(Acted), auth=SEND, summary="Cancel, reschedule, resend, settle")
def act(request: Call, asked: Act) -> Any:
    """With up to 500 messages that this key may read. Those that do not suit the action are left out, with the reason.

    - `cancel`: those that wait do not go any more. `reschedule`: those that wait get another time.
    - `resend`: those that are over go out once more, as new messages; who opted out is left out.
    - `count_as_sent`, `send_again`: what becomes of `uncertain` ones, of which nobody can tell whether the provider
      took them. Sent again they may arrive twice.
    """
    ids = reading.changeable(request.key, asked.message_ids)
    if asked.action == "resend":
        done = gateway.resend_these(request.key, ids, through(request, asked.account_id), asked.again)
        return acted(len(done.made), done.skipped)
    at = asked.scheduled_at or timezone.now()
    name = ACTIONS.get(asked.action, asked.action)
    did = bulk.with_these(name, ids, {"moment": at.isoformat()}, str(Caller(request.key)))
    return acted(did.n, did.skipped)


def acted(n: int, skipped: Mapping[str, int]) -> dict[str, Any]:
    left_out = [{"reason": str(bulk.REASONS[reason]), "messages": left} for reason, left in skipped.items() if left]
    return {"messages": n, "left_out": left_out}


def through(request: Call, account_id: str | None) -> ProviderAccount | None:
    if account_id is None:
        return None
    return reading.one(access.accounts(request.key), account_id, "account")


# --- In words ------------------------------------------------------------------------------------------


def written(rows: Sequence[Message]) -> list[dict[str, Any]]:
    phones = gateway_phones.ids((row.account_id, row.device) for row in rows)
    return [_written(row, phones.get((row.account_id, row.device))) for row in rows]


def _written(row: Message, phone: str | None) -> dict[str, Any]:
    received = row.status == Status.RECEIVED
    waits = row.status in (Status.SCHEDULED, Status.QUEUED) and row.due_at < parking.BEYOND
    return {
        "message_id": row.pk,
        "to": row.sender if received else row.number,
        "from": row.number if received else row.sender,
        "message": row.text,
        "status": row.status,
        "sent_at": row.sent_at,
        "delivered_at": row.done_at if row.status in (Status.DELIVERED, Status.RECEIVED) else None,
        "direction": "in" if received else "out",
        "type": row.type,
        "attachments": row.attachments,
        "account_id": row.account_id,
        "campaign_id": row.campaign_id,
        "device_id": phone,
        "sim": row.sim,
        "parts": row.segments,
        "cost": row.cost,
        "error": _problem(row.error_code, row.error_text),
        "provider_message_id": row.provider_id,
        "created_at": row.created_at,
        "due_at": row.due_at if waits else None,
        "expires_at": row.expires_at,
        "resend_of": row.resend_of_id,
    }


def _problem(code: str, text: str) -> dict[str, str] | None:
    return {"code": code, "message": text} if code or text else None
