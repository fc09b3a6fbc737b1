"""The campaigns of the demo: one that is over, with failures, one that is paused, and one that waits for its time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from contacts.models import Contact, ContactList
from messaging import expanding, ledger, parking
from messaging.models import Campaign, Message
from messaging.segments import measure
from providers.models import ProviderAccount
from providers.types import Status

S = Status
PROBLEMS = (
    ("unreachable_handset", "The phone could not be reached."),
    ("unreachable_handset", "The phone could not be reached."),
    ("blocked", "The recipient's network refused it."),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign that was sent ``ago``. ``fates``: how many messages are in which status; the rest in ``others``."""

    name: str
    text: str
    ago: timedelta
    fates: tuple[tuple[Status, int], ...]
    others: Status
    state: str = Campaign.State.SENDING
    reason: str = ""


PLANS = (
    Plan(
        "Spring newsletter",
        "Hello {name|friend}, our spring catalogue is out: 40 new things for the garden. Reply STOP to opt out.",
        timedelta(hours=26),
        ((S.FAILED, 6), (S.EXPIRED, 1), (S.SENT, 2)),
        S.DELIVERED,
    ),
    Plan(
        "Weekend sale",
        "{name|friend}, this weekend everything is 20 % off. Reply STOP to opt out.",
        timedelta(hours=2),
        ((S.DELIVERED, 21), (S.FAILED, 1), (S.SENT, 1)),
        S.SCHEDULED,
        Campaign.State.PAUSED,
        "The shop window is not ready.",
    ),
    Plan(
        "Opening hours in summer",
        "From Monday on we are there for you from 8 to 20. See you soon, {name|friend}!",
        timedelta(hours=1),
        (),
        S.SCHEDULED,
    ),
)


def load(account: ProviderAccount, people: Sequence[Contact], guests: ContactList) -> None:
    """To all ``people``, who are those on the list that may be written to."""
    dice = random.Random(11)
    for plan in PLANS:
        campaign = _campaign(plan, account, people, guests)
        fates = [status for status, n in plan.fates for _ in range(n)]
        fates += [plan.others] * (len(people) - len(fates))
        dice.shuffle(fates)
        ledger.insert([_message(campaign, person, fate, dice) for person, fate in zip(people, fates, strict=True)])


def _campaign(plan: Plan, account: ProviderAccount, people: Sequence[Contact], guests: ContactList) -> Campaign:
    start = timezone.now() - plan.ago
    campaign = Campaign.objects.create(
        name=plan.name,
        text=plan.text,
        account=account,
        sender=account.sender,
        merges=True,
        state=plan.state,
        state_reason=plan.reason,
        state_by="the demo" if plan.reason else "",
        state_at=start + timedelta(minutes=5) if plan.reason else None,
        due_at=start if plan.fates else timezone.now() + timedelta(days=3),
        created_at=start,
        total=guests.members,
        skipped={"opted_out": guests.members - len(people)},
        cursor=expanding.END,
        complete=True,
    )
    campaign.lists.add(guests)
    return campaign


def _message(campaign: Campaign, person: Contact, fate: Status, dice: random.Random) -> Message:
    text = campaign.text.replace("{name|friend}", person.name)
    left = campaign.created_at + timedelta(seconds=dice.uniform(1, 240))
    waits, parked = fate == S.SCHEDULED, campaign.state == Campaign.State.PAUSED and fate == S.SCHEDULED
    code, words = dice.choice(PROBLEMS) if fate in (S.FAILED, S.EXPIRED) else ("", "")
    return Message(
        account=campaign.account,
        campaign=campaign,
        number=person.number,
        text=text,
        sender=campaign.sender,
        segments=measure(text).parts,
        status=fate.value,
        provider_id="" if waits else f"demo-{dice.randrange(10**12):012d}",
        due_at=campaign.due_at + (parking.FAR if parked else timedelta()),
        created_at=campaign.created_at,
        sent_at=None if waits else left,
        done_at=left + timedelta(seconds=9) if fate in ledger.FINAL else None,
        **({"error_code": code, "error_text": words} | (parking.values() if parked else {})),
    )
