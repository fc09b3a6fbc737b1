"""The conversations of the demo: who replied lately, one that goes to and fro, and one that a person should look at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model
from django.db.models import Max
from django.utils import timezone

from contacts.models import Contact
from messaging import inbox, ledger
from messaging.models import AutoReply, Conversation, Message, ReadMark
from messaging.segments import measure
from providers.models import ProviderAccount
from providers.types import Status

FRESH = timedelta(hours=20)  # what is younger nobody has read yet
TALK = (  # minutes ago, whether they wrote it, and what
    (52, True, "Hi, is the workshop on Saturday full?"),
    (47, False, "Two places are left. Shall I keep one for you?"),
    (45, True, "Yes please! Two, if that's possible: my sister comes too."),
    (44, False, "Both are yours. Doors open at 9:30."),
    (31, True, "Great. Is there parking?"),
    (28, False, "Yes, behind the building, free all day."),
    (6, True, "Perfect, see you then 🙂"),
)


def load(account: ProviderAccount, people: list[Contact], history: Iterable[Message]) -> None:
    """``history``: the messages of the past, oldest first; those that were received have their conversations."""
    for message in history:
        if message.status == Status.RECEIVED:
            inbox.heard(message)
    now = timezone.now()
    newest = Conversation.objects.filter(last_at__lt=now - FRESH).aggregate(newest=Max("last"))["newest"] or 0
    users = get_user_model().objects.filter(is_superuser=True)
    ReadMark.objects.bulk_create([ReadMark(user=user, upto=newest) for user in users])
    _talk(account, people[3], now)
    [missed] = ledger.insert([_message(account, people[7], "stop please", now - timedelta(minutes=2), heard=True)])
    inbox.flag(inbox.heard(missed), inbox.Flag.NEAR_MISS)
    AutoReply.objects.create(
        name="Out of office",
        enabled=False,
        match=AutoReply.Match.ANY,
        hours="Mon-Fri 09:00-18:00",
        text="Hi {name|there}, we are back at nine and will answer then.",
    )


def _talk(account: ProviderAccount, person: Contact, now: datetime) -> None:
    rows = [_message(account, person, text, now - timedelta(minutes=ago), heard) for ago, heard, text in TALK]
    for message in ledger.insert(rows):
        if message.status == Status.RECEIVED:
            inbox.heard(message)


def _message(account: ProviderAccount, person: Contact, text: str, at: datetime, heard: bool) -> Message:
    return Message(
        account=account,
        number=person.number,
        text=text,
        segments=measure(text).parts,
        status=(Status.RECEIVED if heard else Status.DELIVERED).value,
        priority=0 if heard else 1,
        provider_id=f"demo-talk-{person.pk}-{at:%H%M%S}",
        created_at=at,
        due_at=at,
        sent_at=at,
        done_at=at,
    )
