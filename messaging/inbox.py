"""What changes conversations: received messages, replies, and what operators do with them.

Who stores a received message keeps its conversation in the same transaction, so neither is ever there alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts.recipients import opted_out
from devices.targets import Choice
from providers.models import ProviderAccount
from providers.types import Feature, Target

from . import campaigns, ledger
from .campaigns import Draft
from .models import Campaign, Conversation, Message, ReadMark

PREVIEW = 160
SEEN = 1_000  # of the newest open conversations, how many are looked at for the count of unread ones
MANY = 100  # unread ones are counted up to here

State, Flag = Conversation.State, Conversation.Flag


# --- Messages ----------------------------------------------------------------------------------------


def heard(message: Message) -> Conversation:
    """A received message is there: its conversation, locked, in the caller's transaction. It is open from now on."""
    found, _new = Conversation.objects.select_for_update().get_or_create(number=message.number)
    if message.pk > found.last:
        found.last, found.last_at, found.outgoing = message.pk, message.created_at, False
        found.preview = message.text[:PREVIEW]
    if message.pk > found.heard:
        found.heard, found.account_id, found.to = message.pk, message.account_id, message.sender
        found.device, found.sim = message.device, message.sim
    found.state, found.snoozed_until = State.OPEN, None
    found.version += 1
    found.save()
    return found


def reply(conversation: Conversation, text: str, user: Any, token: uuid.UUID, account: ProviderAccount) -> Campaign:
    """Answer at once, before everything else that waits. The same token twice is one reply.

    Raises ValueError with a sentence for whoever wrote it.
    """
    if opted_out([conversation.number]):
        raise ValueError(
            _("This person opted out, so nobody can write to them. They can opt in again by sending START.")
        )
    draft = draft_to(conversation, text, account, user=user, token=token)
    if wrong := campaigns.check(draft):
        raise ValueError(" ".join(wrong.values()))
    return submit(conversation, draft)


def draft_to(conversation: Conversation, text: str, account: ProviderAccount, **values: Any) -> Draft:
    """A text to the person, through the SIM or number that their last message came to if that is the account's."""
    same = account.pk == conversation.account_id
    devices: Mapping[str, Any] = {}
    if same and conversation.device and account.can(Feature.DEVICES):
        devices = Choice(targets=(Target(conversation.device, conversation.sim),)).write()
    sender = conversation.to if same and account.can(Feature.SENDER_ID) else ""
    return Draft(account, [conversation.number], text, sender=sender, priority=1, devices=devices, **values)


def submit(conversation: Conversation, draft: Draft) -> Campaign:
    """Accept a draft to the person, and show it in the conversation."""
    with ledger.together():
        campaign = campaigns.submit(draft)
        message = Message.objects.filter(campaign=campaign).order_by("-pk").only("created_at").first()
        if message is not None:
            news = {
                "last": message.pk,
                "last_at": message.created_at,
                "preview": draft.text[:PREVIEW],
                "outgoing": True,
            }
            _change(Conversation.objects.filter(pk=conversation.pk, last__lt=message.pk), **news)
    return campaign


# --- What operators do -------------------------------------------------------------------------------


def close(conversation: Conversation) -> None:
    _change(_this(conversation), state=State.CLOSED, snoozed_until=None, flag="")


def reopen(conversation: Conversation) -> None:
    _change(_this(conversation), state=State.OPEN, snoozed_until=None)


def snooze(conversation: Conversation, until: datetime) -> None:
    """Out of sight until then, or until they write again."""
    _change(_this(conversation), state=State.OPEN, snoozed_until=until)


def assign(conversation: Conversation, user: Any) -> None:
    """To a user, or to nobody (None)."""
    _change(_this(conversation), assigned_to=user)


def flag(conversation: Conversation, reason: str) -> None:
    """Put it before a person; empty: somebody looked."""
    _change(_this(conversation), flag=reason)


def _this(conversation: Conversation) -> QuerySet[Conversation]:
    return Conversation.objects.filter(pk=conversation.pk)


def _change(rows: QuerySet[Conversation], **values: Any) -> None:
    rows.update(version=F("version") + 1, **values)


# --- Who has read what ---------------------------------------------------------------------------------


def read(conversation: Conversation, user: Any, upto: int) -> None:
    """The user has read the received messages up to this id; what was marked as unread is so no more."""
    _mark(user, conversation, upto)


def unread(conversation: Conversation, user: Any) -> None:
    _mark(user, conversation, conversation.heard - 1)


def read_all(user: Any) -> None:
    """Whatever is there by now counts as read."""
    newest = Conversation.objects.order_by("-last").values_list("last", flat=True).first() or 0
    with transaction.atomic():
        ReadMark.objects.filter(user=user).exclude(conversation=None).delete()
        _mark(user, None, newest)


def _mark(user: Any, conversation: Conversation | None, upto: int) -> None:
    marks = ReadMark.objects.filter(user=user, conversation=conversation)
    if not marks.update(upto=upto):
        ReadMark.objects.bulk_create([ReadMark(user=user, conversation=conversation, upto=upto)], ignore_conflicts=True)


def with_unread(rows: QuerySet[Conversation], user: Any) -> QuerySet[Conversation]:
    """Each with ``unread``: 1 if they wrote something that the user has not read, else 0."""
    marks = ReadMark.objects.filter(user=user)
    own = Subquery(marks.filter(conversation=OuterRef("pk")).values("upto")[:1])
    of_all = Subquery(marks.filter(conversation=None).values("upto")[:1])
    upto = Coalesce(own, of_all, Value(0), output_field=BigIntegerField())
    return rows.alias(upto=upto).annotate(unread=Case(When(heard__gt=F("upto"), then=1), default=0))


def visible(rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Those that are to be looked at now."""
    awake = Q(snoozed_until=None) | Q(snoozed_until__lte=timezone.now())
    return rows.filter(awake, state=State.OPEN)


def count_unread(user: Any) -> int:
    """Of the newest open conversations, how many have something new for the user, up to MANY. One query."""
    newest = Conversation.objects.filter(state=State.OPEN).order_by("-last").values("pk")[:SEEN]
    rows = with_unread(visible(Conversation.objects.filter(pk__in=newest)), user)
    return rows.filter(unread=1)[:MANY].count()
