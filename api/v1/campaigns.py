"""Campaigns: seen, sent, looked at before they are sent, paused and brought to an end."""

from __future__ import annotations

from typing import Any, Literal

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Sum
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from messaging import campaign_facts, campaign_pages, campaigns, conduct, forecast, ledger, preflight
from messaging.campaign_pages import Filters, Shown
from messaging.campaign_views import ACTIONS, Name
from messaging.log import read_id
from messaging.models import BulkAction, Campaign, Message
from providers import errors, types

from .. import access
from ..models import ApiKey
from . import drafting, reading
from .caller import READ, SEND, Caller
from .door import Call
from .drafting import CampaignIn
from .errors import Conflict, answers, missing
from .schemas import Body, Done, Id, Next, Number, Paging, Time, page

router = Router(by_alias=True, tags=["Campaigns"], auth=READ)

StateWord = Literal["approval", "held", "scheduled", "preparing", "sending", "paused", "finished", "canceled"]
StateFilter = Literal["sending", "approval", "paused", "finished", "canceled"]


class Balance(Schema):
    """Each recipient is in one of these; `delivered` are among those `sent`."""

    total: int
    sent: int
    delivered: int
    failed: int
    skipped: int
    canceled: int
    waiting: int
    uncertain: int


class CampaignOut(Schema):
    campaign_id: Id
    name: str
    message: str
    from_: str = Field(alias="from")
    state: StateWord
    state_reason: str
    account_id: Id
    route_id: Id | None
    scheduled_at: Time
    created_at: Time
    recipients: Balance


class Skip(Schema):
    reason: str
    recipients: int


class Failure(Schema):
    code: str
    message: str
    messages: int


class CampaignDetail(CampaignOut):
    list_ids: list[Id]
    skipped: list[Skip]
    failures: list[Failure] = Field(description="The most frequent first.")
    rate_per_minute: float
    finishes_at: Time | None = Field(description="When the last message may leave; null: not known.")
    hours: str
    time_zone: str
    finish_by: Time | None
    expires_at: Time | None


class CampaignPage(Schema):
    campaigns: list[CampaignOut]
    next: Next


class CampaignMade(CampaignDetail, Done):
    credits_used: int | None = Field(description="Of the budget of this key; null: it has none.")
    credits_remaining: int | None


class Reading(Schema):
    number: str
    message: str
    parts: int


class Preflight(Schema):
    """`about`: judged by a sample."""

    recipients: int
    opted_out: int
    unsubscribed: int
    duplicates: int
    invalid: int
    unlikely: int = Field(description="Numbers that no numbering plan has.")
    parts: int
    about: bool
    cost: Number
    cost_is_a_guess: bool
    credits_after: Number | None = Field(description="null: unlimited or not known.")
    begins_at: Time
    ends_at: Time | None
    needs_approval: bool
    readings: list[Reading] = Field(description="The text as some of them read it.")


class CampaignsAsked(Paging):
    state: StateFilter | None = None
    text: str = Field("", max_length=100, description="A part of the name or of the text.")


class Reason(Body):
    reason: str = Field("", max_length=300)


class Rename(Body):
    name: str = Field(max_length=100)


@router.get("/campaigns", response=answers(CampaignPage), summary="List campaigns")
def listed(request: Call, asked: Query[CampaignsAsked]) -> Any:
    """Newest first: those of this key, or of all its accounts if it reads all. A text to one number is none."""
    filters = Filters(asked.state or "", " ".join(asked.text.split()), reading.before(asked))
    rows, edge = campaign_pages.older(filters, asked.limit, reading.within(request.key))
    return page("campaigns", [_written(row) for row in rows], edge)


@router.post("/campaigns", response=answers(CampaignMade, 201), auth=SEND, summary="Send a campaign")
def send(request: Call, asked: CampaignIn) -> Any:
    """To numbers, to lists (scope `contacts`), or to both; each person gets it once, and nobody who opted out.

    What goes to lists or has merge fields leaves after the undo time of the installation, and above its limit waits
    for approval.
    """
    form = drafting.form(request.key, asked)
    draft = drafting.draft(request.key, asked, form)
    with ledger.together():
        parts = forecast.parts(draft, form.reach, form.sample).total if request.key.credits is not None else None
        left = access.spend(request.key, parts) if parts else request.key.credits
        made = campaigns.submit(draft)
    return Status(201, {**_detail(_campaign(request, str(made.pk))), "credits_used": parts, "credits_remaining": left})


@router.post("/campaigns/preflight", response=answers(Preflight), auth=SEND, summary="Look before sending")
def look(request: Call, asked: CampaignIn) -> Any:
    """Who would get it, what it would take, and how it reads. Takes what `POST /v1/campaigns` takes; sends nothing."""
    form = drafting.form(request.key, asked)
    draft = drafting.draft(request.key, asked, form)
    flight = preflight.look(draft, form.recipients, form.reach, form.sample)
    reach = flight.reach
    readings = preflight.readings(draft, form.sample)
    return {
        "recipients": reach.kept,
        "opted_out": reach.opted_out,
        "unsubscribed": reach.unsubscribed,
        "duplicates": reach.duplicates,
        "invalid": reach.invalid,
        "unlikely": flight.unlikely,
        "parts": flight.parts.total,
        "about": flight.parts.about or flight.about,
        "cost": flight.price.cost,
        "cost_is_a_guess": flight.price.guessed,
        "credits_after": flight.price.after,
        "begins_at": flight.course.begins,
        "ends_at": flight.course.ends,
        "needs_approval": flight.approval is not None,
        "readings": [{"number": one.person.number, "message": one.text, "parts": one.parts} for one in readings],
    }


@router.get("/campaigns/{campaign_id}", response=answers(CampaignDetail), summary="Get a campaign")
def get(request: Call, campaign_id: str) -> Any:
    return _detail(_campaign(request, campaign_id))


@router.patch("/campaigns/{campaign_id}", response=answers(CampaignDetail), auth=SEND, summary="Rename a campaign")
def rename(request: Call, campaign_id: str, asked: Rename) -> Any:
    found = _campaign(request, campaign_id)
    form = Name({"name": asked.name}, instance=found)
    if not form.is_valid():
        raise errors.InvalidRequest(drafting.sentences(form))
    found.save(update_fields=["name"])
    return _detail(found)


@router.post(
    "/campaigns/{campaign_id}/{action}", response=answers(CampaignDetail), auth=SEND, summary="Pause, resume, cancel …"
)
def act(
    request: Call,
    campaign_id: str,
    action: Literal["pause", "resume", "cancel", "approve", "reject", "resend_failed"],
    asked: Reason | None = None,
) -> Any:
    """`resend_failed` sends what failed once more, as new messages, in the background. To `approve` or `reject` takes
    the scope `admin` and an owner of the key who may approve, and did not send it."""
    found = _campaign(request, campaign_id)
    doing = ACTIONS["resend" if action == "resend_failed" else action]
    if conduct.state(found) not in doing.states:
        raise Conflict(f"The campaign is {conduct.state(found)}, so that cannot be done with it.")
    if action == "resend_failed":
        _resend_failed(request, found)
        return _detail(found)
    try:
        done = doing.do(found, Caller(request.key), asked.reason.strip() if asked else "")
    except PermissionDenied as error:
        words = "This API key may not approve this campaign: it takes an owner who may, and who did not send it."
        raise errors.KeyRefused(words, code=access.FORBIDDEN) from error
    if not done:
        raise Conflict("Nothing was done: the campaign’s state had changed by then.")
    return _detail(found)


def _resend_failed(request: Call, found: Campaign) -> None:
    """One at a time for each key, which pays for those that were not resent yet; asked twice, it pays once."""
    key, failed = request.key, conduct.counts_of(found.pk)[types.Status.FAILED]
    token = f"key-{key.pk}-{found.pk}-{failed}"
    with transaction.atomic():
        ApiKey.objects.select_for_update(no_key=True).only("pk").get(pk=key.pk)
        if key.credits is not None and not BulkAction.objects.filter(values__token=token).exists():
            rows = Message.objects.filter(campaign=found, status=types.Status.FAILED, resends__isnull=True)
            access.spend(key, rows.aggregate(parts=Sum("segments"))["parts"] or 0)
        conduct.resend_failed(found, key.owner, token)


def _campaign(request: Call, text: str) -> Campaign:
    found = campaign_pages.get(read_id(text) or 0)
    if found is None or not reading.campaigns(request.key).filter(pk=found.pk).exists():
        raise missing("campaign")
    return found


# --- In words ------------------------------------------------------------------------------------------


def _written(row: Shown) -> dict[str, Any]:
    campaign, stands = row.campaign, row.balance
    return {
        "campaign_id": campaign.pk,
        "name": campaign.name,
        "message": campaign.text,
        "from": campaign.sender,
        "state": row.state,
        "state_reason": campaign.state_reason,
        "account_id": campaign.account_id,
        "route_id": campaign.route_id,
        "scheduled_at": campaign.due_at,
        "created_at": campaign.created_at,
        "recipients": {
            "total": stands.recipients,
            "sent": stands.sent,
            "delivered": stands.delivered,
            "failed": stands.failed,
            "skipped": stands.skipped,
            "canceled": stands.canceled,
            "waiting": stands.waiting,
            "uncertain": stands.uncertain,
        },
    }


def _detail(campaign: Campaign) -> dict[str, Any]:
    (row,) = campaign_pages.standing([campaign])
    going = conduct.progress(campaign)
    failures = campaign_facts.failures(campaign, row.balance.failed).reasons
    return {
        **_written(row),
        "list_ids": list(
            campaign.lists.through.objects.filter(campaign=campaign).values_list("contactlist", flat=True)
        ),
        "skipped": [{"reason": reason, "recipients": n} for reason, n in campaign_facts.skipped(row.balance)],
        "failures": [{"code": one.code, "message": one.text, "messages": one.n} for one in failures],
        "rate_per_minute": round(going.rate, 1),
        "finishes_at": drafting.after(going.left),
        "hours": campaign.hours,
        "time_zone": campaign.zone,
        "finish_by": campaign.finish_by,
        "expires_at": campaign.expires_at,
    }
