"""From a draft to message rows: check, submit, expand."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from providers.models import ProviderAccount
from providers.types import Feature, MessageType, Status

from . import ledger, placing, wakeup, windows
from .models import Campaign, Message, Route
from .placing import Placed
from .segments import measure

AT_ONCE = 2_000  # recipients whose rows are made in the request that submits them
SLICE = 10_000  # rows a transaction of the background expansion makes


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be sent, through an account or a route (``account`` is then any of its accounts).

    ``numbers``: E.164, each once. ``due_at`` None: now. ``devices``: see devices/targets.py. The rest as in Campaign.
    """

    account: ProviderAccount
    numbers: Sequence[str]
    text: str
    sender: str = ""
    attachments: Sequence[str] = ()
    due_at: datetime | None = None
    priority: int = 0
    name: str = ""
    route: Route | None = None
    zone: str = ""
    hours: str = ""
    by_recipient: bool = False
    finish_by: datetime | None = None
    expires_at: datetime | None = None
    devices: Mapping[str, Any] = field(default_factory=dict)
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    user: Any = None

    @property
    def type(self) -> MessageType:
        return MessageType.MMS if self.attachments else MessageType.SMS


def check(draft: Draft) -> dict[str, str]:
    """What stands against sending the draft, by field: a sentence each. Empty: it can be sent."""
    kind = draft.account.kind_class
    found = {}
    if not draft.numbers:
        found["numbers"] = _("There is nobody to send to. Enter at least one phone number.")
    if not draft.text.strip() and not draft.attachments:
        found["text"] = _("The message is empty. Write a text.")
    if "\x00" in draft.text:
        found["text"] = _("The text holds a character that cannot be sent (NUL). Remove it.")
    if kind.max_text is not None and len(draft.text) > kind.max_text:
        found["text"] = _("%(kind)s takes at most %(limit)d characters; this text has %(length)d.") % {
            "kind": kind.label,
            "limit": kind.max_text,
            "length": len(draft.text),
        }
    if draft.sender and Feature.SENDER_ID not in kind.supports:
        found["sender"] = _("%(kind)s does not let a sender ID be chosen. Leave it empty.") % {"kind": kind.label}
    if draft.attachments and Feature.MMS not in kind.supports:
        found["attachments"] = _("%(kind)s cannot send MMS.") % {"kind": kind.label}
    never = windows.never_open(draft.account, draft, draft.numbers, draft.due_at or timezone.now())
    if never:
        found["hours"] = never
    if not draft.account.enabled:
        found["account"] = _("This account is switched off. Choose another one, or switch it on.")
    return found


def submit(draft: Draft) -> Campaign:
    """Accept a draft that ``check`` found nothing against. The same token twice gives the first campaign.

    Small ones have their rows at once; the rest is made in the background.
    """
    with transaction.atomic():
        campaign, new = Campaign.objects.get_or_create(
            token=draft.token,
            defaults={
                "name": draft.name,
                "account": draft.account,
                "text": draft.text,
                "sender": draft.sender,
                "type": draft.type.value,
                "attachments": list(draft.attachments),
                "priority": draft.priority,
                "due_at": draft.due_at or timezone.now(),
                "route": draft.route,
                "zone": draft.zone,
                "hours": draft.hours,
                "by_recipient": draft.by_recipient,
                "finish_by": draft.finish_by,
                "expires_at": draft.expires_at,
                "devices": dict(draft.devices),
                "recipients": list(draft.numbers),
                "total": len(draft.numbers),
                "created_by": draft.user,
            },
        )
        if not new:
            return campaign
        if campaign.total <= AT_ONCE:
            expand_slice(campaign)
    if not campaign.complete:
        wakeup.expand(campaign.pk)
    return campaign


def expand(campaign_id: int, seconds: float = 25.0) -> None:
    """Make the missing rows, a slice a transaction, for about ``seconds``; then queue the rest.

    Safe to run twice, at once, and after a crash: each slice moves ``expanded`` in its own transaction.
    """
    end = time.monotonic() + seconds
    more = True
    while more and time.monotonic() < end:
        with transaction.atomic():
            campaign = Campaign.objects.select_for_update().get(pk=campaign_id)
            more = expand_slice(campaign)
    if more:
        wakeup.expand(campaign_id)


def expand_slice(campaign: Campaign) -> bool:
    """The next rows of a campaign, in the caller's transaction. True while there are more."""
    numbers = campaign.recipients[campaign.expanded : campaign.expanded + SLICE]
    parts = measure(campaign.text).parts
    placed = placing.place(campaign, numbers)
    made = ledger.insert([_message(campaign, number, parts, at) for number, at in zip(numbers, placed, strict=True)])
    for account in sorted({message.account_id for message in made if message.status == Status.QUEUED}):
        wakeup.drain(account)
    campaign.expanded += len(numbers)
    campaign.complete = campaign.expanded == campaign.total
    campaign.save(update_fields=["expanded", "complete"])
    return not campaign.complete


def _message(campaign: Campaign, number: str, parts: int, placed: Placed) -> Message:
    later = placed.due_at > timezone.now()
    return Message(
        account_id=placed.account_id,
        campaign=campaign,
        number=number,
        text=campaign.text,
        sender=campaign.sender,
        type=campaign.type,
        attachments=campaign.attachments,
        segments=parts,
        priority=campaign.priority,
        device=placed.device,
        sim=placed.sim,
        route_id=campaign.route_id,
        expires_at=campaign.expires_at,
        due_at=placed.due_at,
        status=(Status.SCHEDULED if later else Status.QUEUED).value,
    )
