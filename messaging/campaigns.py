"""From a draft to message rows: check, submit, expand."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts.models import ContactList, Subscription
from providers.models import ProviderAccount
from providers.types import Feature, MessageType

from . import attachments, conduct, expanding, ledger, parking, routes, wakeup, windows
from .models import Campaign, Route

AT_ONCE = 2_000  # recipients whose rows are made in the request that submits them


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be sent, through an account or a route (``account`` is then any of its accounts).

    ``numbers``: E.164, each once; ``lists``: whose members get it too. ``merges``: the text holds merge fields.
    ``due_at`` None: now. ``devices``: see devices/targets.py. The rest as in Campaign.
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
    lists: Sequence[ContactList] = ()
    merges: bool = False
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    user: Any = None
    client: int | None = None

    @property
    def type(self) -> MessageType:
        return MessageType.MMS if self.attachments else MessageType.SMS


def check(draft: Draft) -> dict[str, str]:
    """What stands against sending the draft, by field: a sentence each. Empty: it can be sent."""
    kind = draft.account.kind_class
    found = {}
    if not draft.numbers and not draft.lists:
        found["numbers"] = _("There is nobody to send to. Enter at least one phone number, or choose a list.")
    if not draft.text.strip() and not draft.attachments:
        found["text"] = _("The message is empty. Write a text.")
    if "\x00" in draft.text:
        found["text"] = _("The text holds a character that cannot be sent (NUL). Remove it.")
    if kind.max_text is not None and len(draft.text) > kind.max_text and not draft.merges:
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

    Small ones have their rows at once; the rest is made in the background. What goes to lists, or has merge fields,
    leaves so late that it can still be taken back.
    """
    now = timezone.now()
    due_at = draft.due_at or now
    if draft.lists or draft.merges:
        due_at = max(due_at, now + timedelta(seconds=settings.SMSDASH_UNDO_SECONDS))
    state = Campaign.State.APPROVAL if needs_approval(draft) else Campaign.State.SENDING
    with ledger.together():
        campaign, new = Campaign.objects.get_or_create(
            token=draft.token,
            defaults={
                "name": draft.name,
                "state": state,
                "account": draft.account,
                "text": draft.text,
                "merges": draft.merges,
                "sender": draft.sender,
                "type": draft.type.value,
                "attachments": list(draft.attachments),
                "priority": draft.priority,
                "due_at": due_at,
                "route": draft.route,
                "zone": draft.zone,
                "hours": draft.hours,
                "by_recipient": draft.by_recipient,
                "finish_by": draft.finish_by,
                "expires_at": draft.expires_at,
                "devices": dict(draft.devices),
                "recipients": list(draft.numbers),
                "cursor": expanding.FIRST if draft.lists else 0,
                "total": len(draft.numbers),
                "created_by": draft.user,
                "client": draft.client,
                "created_at": now,
            },
        )
        if not new:
            return campaign
        if draft.lists:
            campaign.lists.set(draft.lists)
        attachments.want(draft.attachments)
        _begin(campaign, draft)
    return campaign


def _begin(campaign: Campaign, draft: Draft) -> None:
    """Make the rows if they are few; else, or if that fails, it is done in the background."""
    places = campaign.lists.values_list("members", flat=True) if draft.lists else ()
    if len(draft.numbers) + sum(places) <= AT_ONCE:
        with contextlib.suppress(routes.NoMember):
            while expanding.more(campaign):
                expanding.make(campaign, draft.numbers)
            campaign.complete = True
            campaign.save(update_fields=["complete"])
    if not campaign.complete:
        wakeup.expand(campaign.pk)


def needs_approval(draft: Draft) -> bool:
    """Whether a second person has to agree: it may reach more people than anybody may write to alone."""
    limit = settings.SMSDASH_APPROVAL_ABOVE
    listed = ContactList.objects.filter(pk__in=[each.pk for each in draft.lists])
    if limit <= 0 or len(draft.numbers) + sum(listed.values_list("subscribed", flat=True)) <= limit:
        return False
    places = Subscription.objects.filter(list__in=listed, subscribed=True, contact__opted_out_at=None)
    people = places.order_by().values("contact").distinct()[: limit + 1]
    return bool(len(draft.numbers) > limit or len(draft.numbers) + people.count() > limit)


# --- In the background -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """One worker at one campaign. ``settled``: what was there when ``state`` began is as that state asks for;
    ``after``: how far that went."""

    pk: int
    state: str = ""
    after: int = 0
    settled: bool = False
    typed: Sequence[str] | None = None


def expand(campaign_id: int, seconds: float = 25.0) -> None:
    """Let the campaign's state hold for the rows that are there, then make those that are missing: a slice a
    transaction, for about ``seconds``; then queue the rest.

    Safe to run twice, at once, and after a crash: how far it got is written in the transaction of each slice.
    """
    end, run, more = time.monotonic() + seconds, _Run(campaign_id), True
    try:
        while more and time.monotonic() < end:
            more = _step(run)
    except routes.NoMember:
        campaign = Campaign.objects.defer("recipients").get(pk=campaign_id)
        reason = _("The route %(route)s has no account. Add one to it, then resume the campaign.")
        conduct.pause(campaign, "", reason % {"route": campaign.route})
        return
    if more:
        wakeup.expand(campaign_id)


def _step(run: _Run) -> bool:
    """One slice. True: there may be more to do."""
    state, complete = Campaign.objects.values_list("state", "complete").get(pk=run.pk)
    if complete:
        return False
    if state != run.state:
        run.state, run.after, run.settled = state, 0, False
    gate_too = not run.settled and parking.needs_gate(state)
    with conduct.locked(run.pk, gate_too=gate_too) as (campaign, flying):
        if campaign.state != state or campaign.complete:
            return not campaign.complete
        if not run.settled:
            after = parking.move(campaign, flying, run.after)
            run.after, run.settled = after or 0, after is None
            return True
        return _go_on(run, campaign)


def _go_on(run: _Run, campaign: Campaign) -> bool:
    if campaign.state == Campaign.State.CANCELED:
        # what is on its way may come back: the clock looks again
        campaign.complete = not conduct.balance(campaign).waiting
        campaign.save(update_fields=["complete"])
        return False
    if expanding.more(campaign):
        if run.typed is None:
            run.typed = campaign.recipients
        expanding.make(campaign, run.typed)
    if expanding.more(campaign):
        return True
    campaign.complete = True
    campaign.save(update_fields=["complete"])
    return False
