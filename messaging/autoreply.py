"""What is answered by itself: to STOP, START and HELP, and by the rules that operators make.

Never to short codes and names, never to who opted out (but once, to tell them that), never to what is old, and never
more than LIMITS to one number: two machines that answer each other stop there, and a person is told.
"""

from __future__ import annotations

import logging
import re
import time
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.utils import timezone

from contacts import optout
from contacts.models import Contact
from contacts.optout import Heard, Kind, fold
from contacts.recipients import opted_out
from providers import hours
from providers.models import ProviderAccount
from providers.pacing import Log
from providers.types import Feature, Rate

from . import campaigns, inbox, merging
from .models import Answer, AutoReply, Campaign, Conversation, Message

log = logging.getLogger(__name__)

LIMITS = (Rate(3, 3600), Rate(10, 86_400))  # automatic answers to one number
OLD = timedelta(hours=1)  # what was received before that is not answered any more
SHORTEST = 8  # characters of a number that a person may have, with its +

Match = AutoReply.Match


def answer(account: ProviderAccount, conversation: Conversation, message: Message, heard: Heard) -> Campaign | None:
    """Answer a received message if anything is to be answered, in the transaction that stores it."""
    rule, text = _text(message, heard)
    if not text or not _may(account, message):
        return None
    confirms = heard.kind == Kind.STOP
    if not confirms and opted_out([message.number]):
        return None
    draft = inbox.draft_to(conversation, text, account)
    if wrong := campaigns.check(draft):
        log.warning("No automatic answer to message %s: %s", message.pk, " ".join(wrong.values()))
        return None
    if not _has_room(conversation):
        return None
    campaign = inbox.submit(conversation, draft)
    Answer.objects.create(campaign=campaign, heard=message.pk, rule=rule, confirms=confirms)
    return campaign


def _text(message: Message, heard: Heard) -> tuple[AutoReply | None, str]:
    """What is to be answered, and by which rule. Words of opting out are answered when they changed something."""
    if heard.changed:
        return None, optout.answer(heard)
    if heard.kind == Kind.STOP:
        return None, ""
    if heard.kind == Kind.HELP and (text := optout.answer(heard)):
        return None, text
    rule = choose(message, timezone.now())
    return rule, _written(rule.text, message.number) if rule else ""


def _may(account: ProviderAccount, message: Message) -> bool:
    """Could a person have written this just now, and can the account answer?"""
    personal = message.number.startswith("+") and len(message.number) >= SHORTEST
    came = message.sent_at or message.created_at
    return bool(personal and account.enabled and account.can(Feature.SEND) and came > timezone.now() - OLD)


def _has_room(conversation: Conversation) -> bool:
    """Take a place in the limits of the conversation, which is locked; a person is told when there is none."""
    used, now = Log(LIMITS, conversation.answered, even=False), time.time()
    if used.wait(now) > 0:
        inbox.flag(conversation, inbox.Flag.LOOP)
        return False
    used.add(now)
    conversation.answered = used.text()
    conversation.save(update_fields=["answered"])
    return True


# --- Rules -------------------------------------------------------------------------------------------


def choose(message: Message, now: datetime) -> AutoReply | None:
    """The first rule that fits."""
    said = fold(message.text)
    rules = AutoReply.objects.filter(enabled=True).order_by("position", "pk")
    return next((rule for rule in rules if _here(rule, message) and _now(rule, now) and matches(rule, said)), None)


def matches(rule: AutoReply, said: str) -> bool:
    """``said``: the text, folded as optout.fold does it. Words begin and end where words do."""
    if rule.match == Match.ANY:
        return True
    fits = _FITS[rule.match]
    return any(fits(said, word) for line in rule.words.splitlines() if (word := fold(line)))


def _begins(said: str, word: str) -> bool:
    return said.startswith(word) and not (_joins(word[-1]) and _joins(said[len(word) : len(word) + 1]))


def _contains(said: str, word: str) -> bool:
    places = (found.start() for found in re.finditer(re.escape(word), said))
    return any(not (at and _joins(said[at - 1]) and _joins(word[0])) and _begins(said[at:], word) for at in places)


def _joins(character: str) -> bool:
    """Whether it may be in the middle of a word. Chinese and Japanese have no blanks between words."""
    return character.isalnum() and not "\u2e80" <= character <= "\u9fff"


_FITS: Mapping[str, Callable[[str, str], bool]] = {
    Match.EXACT: str.__eq__,
    Match.STARTS: _begins,
    Match.CONTAINS: _contains,
}


def _here(rule: AutoReply, message: Message) -> bool:
    if rule.account_id not in (None, message.account_id):
        return False
    return not rule.device or (rule.device == message.device and rule.sim in (None, message.sim))


def _now(rule: AutoReply, now: datetime) -> bool:
    """Outside of the office hours, where the rule has some."""
    if not rule.hours:
        return True
    zone = zoneinfo.ZoneInfo(rule.zone) if rule.zone else timezone.get_default_timezone()
    return hours.parse(rule.hours).opening(now, zone) > now


def _written(text: str, number: str) -> str:
    """With the person's own words."""
    if not merging.fields_of(text):
        return merging.render(text, {})
    row = Contact.objects.filter(number=number).values_list("number", "name", "language", "fields").first()
    return merging.render(text, merging.values_of(*row) if row else merging.values_of(number))
