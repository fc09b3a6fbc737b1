"""All messages or all people of a filter: begun in the request, worked off in the background, stopped on the way."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal

from django.utils import timezone
from ninja import Router, Schema
from ninja.responses import Status
from pydantic import Field

from contacts import changes, directory
from contacts.forms import FORMS
from contacts.models import BulkChange, ContactList
from messaging import bulk
from messaging.models import BulkAction
from providers import errors

from ..models import ApiKey
from . import drafting, reading
from .caller import CONTACTS, SEND, Caller
from .door import Call
from .errors import Conflict, answers
from .messages import ACTIONS, LeftOut, Wanted, acted, filters_of, through
from .schemas import Body, Id, Time

router = Router(by_alias=True)
MESSAGES, PEOPLE = ["Messages"], ["Contacts"]


class Selection(Body, Wanted):
    """As in `GET /v1/messages`; none: all."""


class ActOnAll(Body):
    action: Literal["cancel", "reschedule", "resend", "count_as_sent", "send_again"]
    filters: Selection = Field(examples=[{"status": "queued", "campaign_id": "12"}])
    scheduled_at: Time | None = Field(None, description="For `reschedule`; null: as soon as possible.")
    account_id: Id | None = Field(None, description="For `resend`: through this account.")
    again: bool = Field(False, description="For `resend`: also those that were resent before.")


class BulkOut(Schema):
    success: bool = True
    bulk_id: Id
    action: str
    messages: int = Field(description="With how many it is done by now.")
    left_out: list[LeftOut]
    created_at: Time
    finished_at: Time | None = Field(description="null: it goes on.")
    stopped: bool


class People(Body):
    list_id: Id | None = Field(None, description="Of this list; null: of all contacts.")
    text: str = Field("", max_length=100, description="The beginning of a number, or a part of a name.")
    status: Literal["subscribed", "unsubscribed", "opted_out", "unlisted"] | None = Field(
        None, description="The first two with a list, the last without."
    )


class ChangeAll(Body):
    action: Literal["subscribe", "unsubscribe", "remove", "add", "opt_out", "opt_in", "delete"]
    filters: People = Field(examples=[{"list_id": "3", "status": "unsubscribed"}])
    to_list_id: Id | None = Field(None, description="For `add`.")
    reason: str = Field("", max_length=200, description="Kept with each; for `opt_in` how they asked for it.")


class ChangeOut(Schema):
    success: bool = True
    bulk_id: Id
    action: str
    people: int = Field(description="With how many it is done by now.")
    left_out: list[dict[str, str | int]] = Field(examples=[[{"reason": "were so already", "people": 3}]])
    created_at: Time
    finished_at: Time | None = Field(description="null: it goes on.")
    stopped: bool
    can_be_undone: bool


# --- Messages --------------------------------------------------------------------------------------------


@router.post(
    "/messages/bulk", response=answers(BulkOut, 202), auth=SEND, tags=MESSAGES, summary="Act on all of a filter"
)
def act(request: Call, asked: ActOnAll) -> Any:
    """What `POST /v1/messages/actions` does with named messages, with all that there are now of this key: those that
    it sent, or every one of its accounts if it reads all. The newest come first. A key with a budget resends by ids."""
    if asked.action == "resend" and request.key.credits is not None:
        raise errors.InvalidRequest("An API key with a budget resends messages by their ids: /v1/messages/actions.")
    filters = filters_of(request, asked.filters)
    if filters is None:
        raise errors.InvalidRequest("No message can match these filters.")
    account = through(request, asked.account_id) if asked.action == "resend" else None
    values = {
        "moment": (asked.scheduled_at or timezone.now()).isoformat(),
        "account": account and account.pk,
        "again": asked.again,
        "by": str(Caller(request.key)),
        "key": request.key.pk,
        "only": _only(request.key),
    }
    name = ACTIONS.get(asked.action, asked.action)
    return Status(202, _bulk(bulk.start(name, filters, values, None, uuid.uuid4().hex)))


def _only(key: ApiKey) -> dict[str, Any]:
    chosen = list(key.accounts.values_list("pk", flat=True))
    return {"client": None if key.reads_all else key.pk, "accounts": chosen or None}


@router.get(
    "/messages/bulk/{bulk_id}", response=answers(BulkOut), auth=SEND, tags=MESSAGES, summary="See how far it is"
)
def progress(request: Call, bulk_id: str) -> Any:
    return _bulk(_action(request, bulk_id))


@router.post(
    "/messages/bulk/{bulk_id}/stop", response=answers(BulkOut), auth=SEND, tags=MESSAGES, summary="Act on no more"
)
def stop(request: Call, bulk_id: str) -> Any:
    """What is done stays done."""
    bulk.stop(_action(request, bulk_id).pk, str(Caller(request.key)))
    return _bulk(_action(request, bulk_id))


def _action(request: Call, text: str) -> BulkAction:
    """One of this key."""
    return reading.one(BulkAction.objects.filter(values__key=request.key.pk), text, "bulk action")


def _bulk(row: BulkAction) -> dict[str, Any]:
    words = {ours: asked for asked, ours in ACTIONS.items()}
    return {
        **acted(row.done, row.values["skipped"]),
        "bulk_id": row.pk,
        "action": words.get(row.action, row.action),
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "stopped": bool(row.values.get("stopped")),
    }


# --- People ----------------------------------------------------------------------------------------------


@router.post(
    "/contacts/bulk", response=answers(ChangeOut, 202), auth=CONTACTS, tags=PEOPLE, summary="Change all of a filter"
)
def change(request: Call, asked: ChangeAll) -> Any:
    """`subscribe`, `unsubscribe` and `remove` are about the list of the filter, `add` about another one. Nobody is
    subscribed who opted out of everything."""
    of = _list(asked.filters.list_id)
    if changes.ACTIONS[asked.action].on_list and of is None:
        raise errors.InvalidRequest(f"“{asked.action}” is about a list: name it as “list_id” in the filters.")
    filters = directory.Filters(of, asked.filters.status or "", " ".join(asked.filters.text.split()))
    known = ("subscribed", "unsubscribed", "opted_out") if of else ("opted_out", "unlisted")
    if filters.status and filters.status not in known:
        raise errors.InvalidRequest(f"“status” can be {', '.join(known)} {'on a list' if of else 'without a list'}.")
    to = _list(asked.to_list_id)
    form = FORMS[asked.action]({"reason": asked.reason, "list": to and to.pk})
    if not form.is_valid():
        raise errors.InvalidRequest(drafting.sentences(form, {"list": "to_list_id"}))
    made = changes.start(asked.action, filters, {**form.values, "by": request.key.name}, None, uuid.uuid4())
    return Status(202, _change(made))


@router.get(
    "/contacts/bulk/{bulk_id}", response=answers(ChangeOut), auth=CONTACTS, tags=PEOPLE, summary="See how far it is"
)
def changed(request: Call, bulk_id: str) -> Any:
    return _change(_found(bulk_id))


@router.post(
    "/contacts/bulk/{bulk_id}/{action}",
    response=answers(ChangeOut),
    auth=CONTACTS,
    tags=PEOPLE,
    summary="Change no more, or undo",
)
def settle(request: Call, bulk_id: str, action: Literal["stop", "undo"]) -> Any:
    """What is done stays done when it is stopped. Only `remove` can be undone, once it is over; the answer is the
    change that brings them back."""
    row = _found(bulk_id)
    if action == "stop":
        changes.stop(row.pk, request.key.name)
        return _change(_found(bulk_id))
    undone = changes.undo(row.pk, None, request.key.name)
    if undone is None:
        raise Conflict("That cannot be undone, or not any more.")
    return _change(undone)


def _found(text: str) -> BulkChange:
    return reading.one(BulkChange.objects, text, "bulk change")


def _list(text: str | None) -> ContactList | None:
    return None if text is None else reading.one(ContactList.objects, text, "list")


def _change(row: BulkChange) -> dict[str, Any]:
    skipped: Mapping[str, int] = row.values["skipped"]
    return {
        "bulk_id": row.pk,
        "action": row.action,
        "people": row.done,
        "left_out": [{"reason": str(changes.REASONS[why]), "people": n} for why, n in skipped.items() if n],
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "stopped": bool(row.values.get("stopped")),
        "can_be_undone": changes.progress(row).undoable,
    }
