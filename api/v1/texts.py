"""Templates, the texts that are written often; and conversations, the inbox by number."""

from __future__ import annotations

from typing import Any, Literal

from django.db import IntegrityError, transaction
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from messaging import inbox, merging, segments
from messaging.models import Conversation, Template
from messaging.template_forms import TemplateForm
from providers import errors

from .. import access
from . import drafting, reading
from .caller import READ, SEND
from .door import Call
from .errors import Conflict, answers
from .schemas import Body, Done, Id, Next, Paging, Time, page

router = Router(by_alias=True, auth=READ)
TEMPLATES, INBOX = ["Templates"], ["Inbox"]


class TemplateOut(Schema):
    template_id: Id
    name: str
    text: str
    fields: list[str] = Field(description="Its merge fields.")
    updated_at: Time


class TemplatePage(Schema):
    templates: list[TemplateOut]
    next: Next


class TemplateSaved(TemplateOut, Done):
    """As it is now."""


class TemplateIn(Body):
    name: str = Field(min_length=1, max_length=100)
    text: str = Field(min_length=1, max_length=segments.LONGEST)


@router.get("/templates", response=answers(TemplatePage), tags=TEMPLATES, summary="List templates")
def templates(request: Call, asked: Query[Paging]) -> Any:
    rows, edge = reading.cut(Template.objects.all(), asked)
    return page("templates", [_template(row) for row in rows], edge)


@router.post("/templates", response=answers(TemplateSaved, 201), auth=SEND, tags=TEMPLATES, summary="Add a template")
def add(request: Call, asked: TemplateIn) -> Any:
    return Status(201, _save(request, asked, Template()))


@router.get("/templates/{template_id}", response=answers(TemplateOut), tags=TEMPLATES, summary="Get a template")
def get(request: Call, template_id: str) -> Any:
    return _template(_found(template_id))


@router.put(
    "/templates/{template_id}", response=answers(TemplateSaved), auth=SEND, tags=TEMPLATES, summary="Change a template"
)
def change(request: Call, template_id: str, asked: TemplateIn) -> Any:
    return _save(request, asked, _found(template_id))


@router.delete(
    "/templates/{template_id}", response=answers(Done), auth=SEND, tags=TEMPLATES, summary="Delete a template"
)
def delete(request: Call, template_id: str) -> Any:
    """What was sent with it stays as it is."""
    _found(template_id).delete()
    return {}


def _found(text: str) -> Template:
    return reading.one(Template.objects, text, "template")


def _save(request: Call, asked: TemplateIn, row: Template) -> dict[str, Any]:
    form = TemplateForm(asked.model_dump(), instance=row)
    if not form.is_valid():
        taken = form.has_error("name", "unique")
        raise (Conflict if taken else errors.InvalidRequest)(drafting.sentences(form))
    saved = form.save(commit=False)
    saved.created_by = saved.created_by or request.key.owner
    try:
        with transaction.atomic():
            saved.save()
    except IntegrityError as error:
        raise Conflict("There is a template of that name. Choose another name.") from error
    return _template(saved)


def _template(row: Template) -> dict[str, Any]:
    fields = merging.fields_of(row.text)
    return {"template_id": row.pk, "name": row.name, "text": row.text, "fields": fields, "updated_at": row.updated_at}


# --- Conversations -------------------------------------------------------------------------------------


class ConversationOut(Schema):
    """Its messages: `GET /v1/messages?number=…`. To answer, send a message."""

    conversation_id: Id
    number: str
    state: Literal["open", "closed"]
    account_id: Id | None
    last_message_id: Id
    last_message_at: Time
    last_text: str = Field(description="Its first 160 characters; empty: it was sent by somebody else.")
    last_direction: Literal["out", "in"]
    snoozed_until: Time | None
    assigned_to: str | None


class ConversationPage(Schema):
    conversations: list[ConversationOut]
    next: Next


class ConversationsAsked(Paging):
    state: Literal["open", "closed"] | None = None
    number: str = Field("", max_length=20, description="In E.164.")


@router.get("/conversations", response=answers(ConversationPage), tags=INBOX, summary="List conversations")
def conversations(request: Call, asked: Query[ConversationsAsked]) -> Any:
    """With people who wrote to the accounts of this key; the latest message first."""
    rows = _conversations(request).order_by("-last")
    if asked.state:
        rows = rows.filter(state=asked.state)
    if asked.number:
        rows = rows.filter(number=asked.number)
    edge = reading.before(asked)
    if edge is not None:
        rows = rows.filter(last__lt=edge)
    found = list(rows[: asked.limit + 1])
    shown = found[: asked.limit]
    return page(
        "conversations",
        [_conversation(request, row) for row in shown],
        shown[-1].last if len(found) > asked.limit else None,
    )


@router.get(
    "/conversations/{conversation_id}", response=answers(ConversationOut), tags=INBOX, summary="Get a conversation"
)
def conversation(request: Call, conversation_id: str) -> Any:
    return _conversation(request, _one(request, conversation_id))


@router.post(
    "/conversations/{conversation_id}/{action}",
    response=answers(ConversationOut),
    auth=SEND,
    tags=INBOX,
    summary="Close or reopen a conversation",
)
def act(request: Call, conversation_id: str, action: Literal["close", "reopen"]) -> Any:
    row = _one(request, conversation_id)
    {"close": inbox.close, "reopen": inbox.reopen}[action](row)
    return _conversation(request, _one(request, conversation_id))


def _conversations(request: Call) -> Any:
    heard = Conversation.objects.filter(heard__gt=0).select_related("assigned_to")
    return heard.filter(account__in=access.accounts(request.key).values("pk"))


def _one(request: Call, text: str) -> Conversation:
    return reading.one(_conversations(request), text, "conversation")


def _conversation(request: Call, row: Conversation) -> dict[str, Any]:
    return {
        "conversation_id": row.pk,
        "number": row.number,
        "state": row.state,
        "account_id": row.account_id,
        "last_message_id": row.last,
        "last_message_at": row.last_at,
        "last_text": row.preview if request.key.reads_all or not row.outgoing else "",
        "last_direction": "out" if row.outgoing else "in",
        "snoozed_until": row.snoozed_until,
        "assigned_to": row.assigned_to.get_username() if row.assigned_to else None,
    }
